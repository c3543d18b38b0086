//! What a topic's settings have to be; nobody is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::broker::TopicSpec;

/// A setting that has to be another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    pub(super) setting: &'static str,
    /// What it has to be; what repairs it sets it to exactly that.
    pub(super) wanted: String,
    /// What it is, and why that is wrong.
    pub(super) problem: String,
}

/// A topic's settings in force, by their names.
pub(super) type Settings = BTreeMap<String, String>;

/// What is wrong with the settings of a topic that the pipeline makes or reads.
pub(super) fn misfits(topic: &TopicSpec, settings: &Settings) -> Vec<Misfit> {
    let mut found: Vec<Misfit> = topic
        .settings
        .iter()
        .filter_map(|(setting, wanted)| misfit(setting, wanted, settings))
        .collect();
    let compacts = |(setting, _): &(&str, String)| *setting == "cleanup.policy";
    let policy = settings.get("cleanup.policy").map_or("", String::as_str);
    if !topic.settings.iter().any(compacts) && policy.contains("compact") {
        found.push(Misfit {
            setting: "cleanup.policy",
            wanted: "delete".to_owned(),
            problem: format!(
                "cleanup.policy is {policy}: compaction removes events that have the key of a newer one"
            ),
        });
    }
    found
}

fn misfit(setting: &'static str, wanted: &str, settings: &Settings) -> Option<Misfit> {
    let is = settings.get(setting)?;
    let why = match setting {
        "cleanup.policy" if is != wanted => {
            "what leaves the topic by time is counted from zero after a restart"
        }
        "retention.ms" if is != "-1" && less(is, wanted) => {
            "records carry the events' own times, so late ones would leave at once"
        }
        "max.message.bytes" if less(is, wanted) => {
            "a rejected event needs the room of the raw one and its headers"
        }
        _ => return None,
    };
    let at_least = if setting == "cleanup.policy" {
        ""
    } else {
        "at least "
    };
    Some(Misfit {
        setting,
        wanted: wanted.to_owned(),
        problem: format!("{setting} is {is} and has to be {at_least}{wanted}: {why}"),
    })
}

fn less(is: &str, wanted: &str) -> bool {
    match (is.parse::<i64>(), wanted.parse::<i64>()) {
        (Ok(is), Ok(wanted)) => is < wanted,
        _ => false,
    }
}

/// Whether the raw topic forgets before duplicates are forgotten: then a restart does not know all that it should.
pub(super) fn forgets_early(settings: &Settings, window: Duration) -> Option<Misfit> {
    let is = settings.get("retention.ms")?;
    let wanted = window.as_millis().to_string();
    (is != "-1" && less(is, &wanted)).then(|| Misfit {
        setting: "retention.ms",
        problem: format!(
            "retention.ms is {is}, less than clean.duplicate_window_time ({wanted} ms): after a restart, duplicates of \
             what has left the topic are not known"
        ),
        wanted,
    })
}

/// The command that sets the settings.
pub(super) fn alteration(servers: &str, secured: bool, topic: &str, misfits: &[Misfit]) -> String {
    let settings: Vec<String> = misfits
        .iter()
        .map(|misfit| format!("{}={}", misfit.setting, misfit.wanted))
        .collect();
    // Kafka's own tools take the security settings from a file of theirs.
    let secured = if secured {
        " --command-config client.properties"
    } else {
        ""
    };
    format!(
        "kafka-configs.sh --bootstrap-server {servers}{secured} --alter --entity-type topics --entity-name {topic} \
         --add-config {}",
        settings.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(settings: &[(&'static str, &str)]) -> TopicSpec {
        TopicSpec {
            name: "t".to_owned(),
            partitions: 1,
            replication: 1,
            settings: settings
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
        }
    }

    fn settings(list: &[(&str, &str)]) -> Settings {
        list.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_setting_that_loses_records_is_wrong() {
        let day = "86400000";
        for (wanted, is, says) in [
            (
                ("cleanup.policy", "compact"),
                ("cleanup.policy", "compact"),
                None,
            ),
            (
                ("cleanup.policy", "compact"),
                ("cleanup.policy", "delete"),
                Some("has to be compact"),
            ),
            (
                ("cleanup.policy", "compact"),
                ("cleanup.policy", "compact,delete"),
                Some("has to be compact"),
            ),
            (("retention.ms", day), ("retention.ms", "-1"), None),
            (("retention.ms", day), ("retention.ms", "86400001"), None),
            (
                ("retention.ms", day),
                ("retention.ms", "86399999"),
                Some("has to be at least 86400000"),
            ),
            (
                ("max.message.bytes", "100"),
                ("max.message.bytes", "99"),
                Some("at least 100"),
            ),
            (
                ("max.message.bytes", "100"),
                ("max.message.bytes", "100"),
                None,
            ),
            (
                ("retention.ms", day),
                ("cleanup.policy", "compact"),
                Some("compaction removes events"),
            ),
        ] {
            let found = misfits(&topic(&[wanted]), &settings(&[is]));
            assert_eq!(
                found.len(),
                usize::from(says.is_some()),
                "{is:?}: {found:?}"
            );
            if let Some(says) = says {
                assert!(found[0].problem.contains(says), "{found:?}");
            }
        }
    }

    #[test]
    fn a_raw_topic_keeps_more_than_the_window_of_duplicates() {
        let hour = Duration::from_secs(3600);
        assert_eq!(
            forgets_early(&settings(&[("retention.ms", "-1")]), hour),
            None
        );
        assert_eq!(
            forgets_early(&settings(&[("retention.ms", "3600000")]), hour),
            None
        );
        let misfit = forgets_early(&settings(&[("retention.ms", "60000")]), hour).unwrap();
        assert_eq!(misfit.wanted, "3600000");
    }

    #[test]
    fn one_command_sets_all_that_is_wrong() {
        let found = misfits(
            &topic(&[("max.message.bytes", "100"), ("retention.ms", "7")]),
            &settings(&[("max.message.bytes", "9"), ("retention.ms", "1")]),
        );
        assert_eq!(
            alteration("a:1", false, "t", &found),
            "kafka-configs.sh --bootstrap-server a:1 --alter --entity-type topics --entity-name t --add-config \
             max.message.bytes=100,retention.ms=7"
        );
        assert!(
            alteration("a:1", true, "t", &found)
                .contains("--command-config client.properties --alter")
        );
    }
}
