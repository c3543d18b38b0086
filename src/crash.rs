//! Named points at which a test can make the process die or freeze, to show that dying there loses and doubles nothing.
//!
//! `SLUICEBOX_CRASH="gold.commit.before@3=abort"` ends the process the third time that it comes to that point, as abruptly as
//! SIGKILL does; `=stop` freezes it there as SIGSTOP does, until somebody continues it. Several are separated by commas.
//! A normal release build has none of this: it takes `debug_assertions` or the feature `crash-points`.

/// Every point there is, as `job.step`, in the order in which an event meets them.
pub const POINTS: &[&str] = &[
    "clean.begin.before",
    "clean.produce.before",
    "clean.produce.after",
    "clean.offsets.before",
    "clean.offsets.after",
    "clean.commit.before",
    "clean.commit.after",
    "gold.restore.before",
    "gold.restore.step",
    "gold.restore.after",
    "gold.begin.before",
    "gold.produce.before",
    "gold.produce.after",
    "gold.offsets.before",
    "gold.offsets.after",
    "gold.commit.before",
    "gold.commit.after",
    "gold.snapshot.before",
    "gold.snapshot.written",
    "gold.snapshot.after",
    "sink.fence.before",
    "sink.fence.after",
    "sink.parquet.before",
    "sink.parquet.after",
    "sink.upload.before",
    "sink.upload.after",
    "sink.request.before",
    "sink.reply.after",
    "sink.offsets.before",
    "sink.offsets.after",
];

/// The process is at this point of a job. Does nothing unless it was told to die or freeze here.
#[cfg(not(any(debug_assertions, feature = "crash-points")))]
#[inline(always)]
pub fn point(_job: &str, _step: &str) {}

#[cfg(any(debug_assertions, feature = "crash-points"))]
pub use armed::point;

#[cfg(any(debug_assertions, feature = "crash-points"))]
mod armed {
    use std::collections::HashMap;
    use std::process::{Command, abort, id};
    use std::sync::{LazyLock, Mutex, PoisonError};

    use super::POINTS;

    /// Names the points to act at.
    const VARIABLE: &str = "SLUICEBOX_CRASH";

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Act {
        Abort,
        Stop,
    }

    #[derive(Debug, PartialEq, Eq)]
    struct Plan {
        left: u32,
        act: Act,
    }

    static PLANS: LazyLock<Mutex<HashMap<String, Plan>>> = LazyLock::new(|| {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        Mutex::new(parse(&text).unwrap_or_else(|error| panic!("{VARIABLE}={text}: {error}")))
    });

    /// The process is at this point of a job. Dies or freezes if it was told to.
    pub fn point(job: &str, step: &str) {
        let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.is_empty() {
            return;
        }
        let name = format!("{job}.{step}");
        debug_assert!(POINTS.contains(&name.as_str()), "{name} is not listed");
        let Some(plan) = plans.get_mut(&name) else {
            return;
        };
        plan.left = plan.left.saturating_sub(1);
        if plan.left > 0 {
            return;
        }
        let act = plan.act;
        plans.remove(&name);
        drop(plans);
        eprintln!("crash point {name}: {act:?}");
        match act {
            Act::Abort => abort(),
            Act::Stop => {
                let stopped = Command::new("kill")
                    .args(["-STOP", &id().to_string()])
                    .status();
                assert!(stopped.is_ok_and(|status| status.success()), "kill -STOP");
            }
        }
    }

    fn parse(text: &str) -> Result<HashMap<String, Plan>, String> {
        let mut plans = HashMap::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (place, act) = part.split_once('=').unwrap_or((part, "abort"));
            let (name, left) = place.split_once('@').unwrap_or((place, "1"));
            if !POINTS.contains(&name) {
                return Err(format!("no point `{name}`"));
            }
            let left = left.parse().map_err(|_| format!("`{left}` is no number"))?;
            let act = match act {
                "abort" => Act::Abort,
                "stop" => Act::Stop,
                other => return Err(format!("`{other}` is neither abort nor stop")),
            };
            plans.insert(name.to_owned(), Plan { left, act });
        }
        Ok(plans)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_plan_names_a_point_a_visit_and_an_act() {
            let plans = parse("clean.commit.before,sink.reply.after@3=stop").unwrap();
            let plan = |left, act| Some(Plan { left, act });
            assert_eq!(
                plans.get("clean.commit.before"),
                plan(1, Act::Abort).as_ref()
            );
            assert_eq!(plans.get("sink.reply.after"), plan(3, Act::Stop).as_ref());
            assert_eq!(plans.len(), 2);
        }

        #[test]
        fn a_plan_for_no_point_is_refused() {
            for (text, expected) in [
                ("clean.nap", "no point `clean.nap`"),
                ("clean.commit.before@x", "`x` is no number"),
                ("clean.commit.before=sleep", "`sleep` is neither"),
            ] {
                let error = parse(text).unwrap_err();
                assert!(error.contains(expected), "{error}");
            }
        }
    }
}
