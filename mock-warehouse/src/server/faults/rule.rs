//! `429:2@submit+1=3` in, what goes wrong, where and how often out.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A moment in a load at which something can go wrong: what a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A driver logs in: `POST /session/v1/login-request`.
    Login,
    /// A driver renews its session token: `POST /session/token-request`.
    Renew,
    /// A driver sends a statement, PUT among them: `POST /queries/v1/query-request`.
    Query,
    /// An object is written to a stage: PUT, POST or DELETE at the S3 endpoint.
    Upload,
    /// An object is read or listed: GET or HEAD at the S3 endpoint.
    Download,
    /// The SQL API takes a statement: `POST /api/v2/statements`.
    Submit,
    /// A statement's state or first partition is asked for, by the SQL API or by a driver.
    Poll,
    /// A later partition of a result, or a driver's chunk.
    Partition,
    /// A statement is to be cancelled, by the SQL API or by a driver.
    Cancel,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// `429`, `500`, `502`, `503` or `504` instead of doing anything; the second value is the `Retry-After` header, in
    /// seconds. At the S3 endpoint 500 is `InternalError` and 503 `SlowDown`.
    Status(u16, Option<u64>),
    /// `reset`: the connection is reset before anything is done.
    Reset,
    /// `reset-after`: everything is done; then the connection is reset instead of a reply.
    ResetAfter,
    /// `drop-reply`: everything is done; then the connection is closed without a reply.
    DropReply,
    /// `delay:SECONDS`: everything is done; the reply comes so much later.
    Delay(Duration),
    /// `slow:SECONDS`: the statement begins so much later, and its request is answered at once with 202.
    Slow(Duration),
    /// `forget`: the statement that is asked for, by handle or request id, is not known any more.
    Forget,
    /// `expire`: the token is refused. A session's or a stage's credentials stay expired until they are renewed.
    Expire,
    /// `revoke:USER`: the user's public keys are taken away, until someone sets one.
    Revoke(String),
    /// `clock:SECONDS`: the server's clock is so far ahead (behind, when negative) while it answers.
    Clock(i64),
    /// `quota:WAREHOUSE`: its resource monitor's quota is used up, until the monitor is unset.
    Quota(String),
    /// `sql:STATEMENTS`: an administrator runs them just before.
    Sql(String),
}

/// How often a rule strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HowOften {
    /// Each time.
    Always,
    /// So many times, one after another.
    Times(u64),
    /// Each time with this probability, 0 to 1.
    Chance(f64),
}

/// One rule: what goes wrong, where, and how often. As text: `KIND[:PARAMETER]@STEP[+SKIP][=TIMES|=PERCENT%]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Where.
    pub step: Step,
    /// So many requests of the step pass before the rule looks at any.
    pub skip: u64,
    /// How often.
    pub how_often: HowOften,
}

/// A rule that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fault `{text}`: {reason}")]
pub struct WrongFault {
    text: String,
    reason: String,
}

impl WrongFault {
    /// What can be written, in a few lines.
    pub fn hint() -> &'static str {
        "a fault is KIND[:PARAMETER]@STEP[+SKIP][=TIMES|=PERCENT%], e.g. 429:2@submit=3, drop-reply@submit=10%\n\
         kinds: 429[:SECONDS] 500 502 503[:SECONDS] 504 reset reset-after drop-reply delay:SECONDS slow:SECONDS forget expire\n       \
         revoke:USER clock:SECONDS quota:WAREHOUSE sql:STATEMENTS\n\
         steps: login renew query upload download submit poll partition cancel"
    }
}

impl Step {
    const NAMES: [(Self, &'static str); 9] = [
        (Self::Login, "login"),
        (Self::Renew, "renew"),
        (Self::Query, "query"),
        (Self::Upload, "upload"),
        (Self::Download, "download"),
        (Self::Submit, "submit"),
        (Self::Poll, "poll"),
        (Self::Partition, "partition"),
        (Self::Cancel, "cancel"),
    ];

    /// Every step there is.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::NAMES.into_iter().map(|(step, _)| step)
    }

    /// As rules write it.
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(step, _)| *step == self)
            .map_or("", |(_, name)| *name)
    }

    /// Whether it is at the S3 endpoint.
    pub(crate) fn is_of_the_stage(self) -> bool {
        matches!(self, Self::Upload | Self::Download)
    }
}

impl FaultKind {
    /// Those that change something and let the request go on; of the others one request meets one at most.
    pub(crate) fn is_change(&self) -> bool {
        matches!(
            self,
            Self::Slow(_)
                | Self::Forget
                | Self::Revoke(_)
                | Self::Clock(_)
                | Self::Quota(_)
                | Self::Sql(_)
        )
    }

    fn parse(name: &str, parameter: Option<&str>) -> Result<Self, String> {
        let none = |kind: Self| match parameter {
            None => Ok(kind),
            Some(_) => Err(format!("{name} takes no parameter")),
        };
        let text = || {
            let text = parameter.map(str::trim).filter(|text| !text.is_empty());
            text.map(str::to_owned)
                .ok_or_else(|| format!("{name} takes a parameter"))
        };
        let seconds = || {
            let seconds = text()?.parse().ok().map(Duration::try_from_secs_f64);
            match seconds {
                Some(Ok(seconds)) => Ok(seconds),
                _ => Err(format!("{name} takes seconds")),
            }
        };
        match name {
            "429" | "503" => {
                let after = parameter.map(str::parse).transpose();
                let after = after.map_err(|_| format!("{name} takes whole seconds"))?;
                Ok(Self::Status(if name == "429" { 429 } else { 503 }, after))
            }
            "500" => none(Self::Status(500, None)),
            "502" => none(Self::Status(502, None)),
            "504" => none(Self::Status(504, None)),
            "reset" => none(Self::Reset),
            "reset-after" => none(Self::ResetAfter),
            "drop-reply" => none(Self::DropReply),
            "forget" => none(Self::Forget),
            "expire" => none(Self::Expire),
            "delay" => Ok(Self::Delay(seconds()?)),
            "slow" => Ok(Self::Slow(seconds()?)),
            "revoke" => Ok(Self::Revoke(text()?.to_uppercase())),
            "quota" => Ok(Self::Quota(text()?.to_uppercase())),
            "sql" => Ok(Self::Sql(text()?)),
            "clock" => {
                let skew = text()?.parse().ok();
                // Ten years: more has no meaning, and sums of it must not overflow.
                let skew = skew.filter(|skew: &i64| skew.unsigned_abs() <= 315_360_000);
                skew.map(Self::Clock)
                    .ok_or_else(|| format!("{name} takes whole seconds, at most ten years"))
            }
            _ => Err(format!("there is no kind `{name}`")),
        }
    }

    /// Whether such a thing can happen there.
    fn fits(&self, step: Step) -> bool {
        use Step::{Cancel, Login, Partition, Poll, Query, Submit};
        match self {
            Self::Slow(_) => matches!(step, Submit | Query),
            Self::Forget => matches!(step, Submit | Query | Poll | Partition | Cancel),
            Self::Clock(_) => matches!(step, Login | Submit | Poll | Partition | Cancel),
            _ => true,
        }
    }
}

impl Fault {
    /// A rule that strikes each time.
    pub fn always(kind: FaultKind, step: Step) -> Self {
        Self {
            kind,
            step,
            skip: 0,
            how_often: HowOften::Always,
        }
    }

    /// A rule that strikes the next `times` requests of the step.
    pub fn times(kind: FaultKind, step: Step, times: u64) -> Self {
        Self {
            how_often: HowOften::Times(times),
            ..Self::always(kind, step)
        }
    }

    /// Without the first `skip` requests of the step.
    #[must_use]
    pub fn after(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    fn parse(text: &str) -> Result<Self, String> {
        // SQL may hold an `@`; the step comes last.
        let (what, place) = text
            .rsplit_once('@')
            .ok_or("the step is missing: ...@STEP")?;
        let (name, parameter) = match what.split_once(':') {
            Some((name, parameter)) => (name, Some(parameter)),
            None => (what, None),
        };
        let (place, often) = match place.split_once('=') {
            Some((place, often)) => (place, Some(often)),
            None => (place, None),
        };
        let (step, skip) = match place.split_once('+') {
            Some((step, skip)) => (step, skip.parse().map_err(|_| "+SKIP is a number")?),
            None => (place, 0),
        };
        let step = Step::NAMES
            .into_iter()
            .find(|(_, name)| *name == step)
            .map(|(step, _)| step)
            .ok_or_else(|| format!("there is no step `{step}`"))?;
        let kind = FaultKind::parse(name, parameter)?;
        if !kind.fits(step) {
            return Err(format!("{name} cannot happen at {}", step.name()));
        }
        Ok(Self {
            kind,
            step,
            skip,
            how_often: often.map_or(Ok(HowOften::Always), HowOften::parse)?,
        })
    }
}

impl HowOften {
    fn parse(text: &str) -> Result<Self, String> {
        let Some(percent) = text.strip_suffix('%') else {
            let times = text.parse().map_err(|_| "=TIMES is a number")?;
            return Ok(Self::Times(times));
        };
        let percent: Option<f64> = percent.parse().ok();
        let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
        percent
            .map(|percent| Self::Chance(percent / 100.0))
            .ok_or_else(|| "=PERCENT% is 0 to 100".to_owned())
    }
}

impl FromStr for Fault {
    type Err = WrongFault;

    fn from_str(text: &str) -> Result<Self, WrongFault> {
        Self::parse(text.trim()).map_err(|reason| WrongFault {
            text: text.to_owned(),
            reason,
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status, None) => write!(formatter, "{status}"),
            Self::Status(status, Some(after)) => write!(formatter, "{status}:{after}"),
            Self::Reset => formatter.write_str("reset"),
            Self::ResetAfter => formatter.write_str("reset-after"),
            Self::DropReply => formatter.write_str("drop-reply"),
            Self::Delay(time) => write!(formatter, "delay:{}", time.as_secs_f64()),
            Self::Slow(time) => write!(formatter, "slow:{}", time.as_secs_f64()),
            Self::Forget => formatter.write_str("forget"),
            Self::Expire => formatter.write_str("expire"),
            Self::Revoke(user) => write!(formatter, "revoke:{user}"),
            Self::Clock(skew) => write!(formatter, "clock:{skew}"),
            Self::Quota(warehouse) => write!(formatter, "quota:{warehouse}"),
            Self::Sql(statements) => write!(formatter, "sql:{statements}"),
        }
    }
}

/// As [`FromStr`] reads it.
impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.kind, self.step)?;
        if self.skip > 0 {
            write!(formatter, "+{}", self.skip)?;
        }
        match self.how_often {
            HowOften::Always => Ok(()),
            HowOften::Times(times) => write!(formatter, "={times}"),
            HowOften::Chance(chance) => write!(formatter, "={}%", chance * 100.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_as_it_is_written() {
        for text in [
            "429:2@submit+1=3",
            "500@upload",
            "reset-after@query=1",
            "delay:0.5@poll=12.5%",
            "slow:2@submit",
            "clock:-7200@login=1",
            "sql:REMOVE @DB.S.ST/x=1@submit+2",
        ] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        let fault: Fault = "sql:DROP TABLE t; DROP TABLE u@submit=1".parse().unwrap();
        assert_eq!(
            fault.kind,
            FaultKind::Sql("DROP TABLE t; DROP TABLE u".to_owned())
        );
    }

    #[test]
    fn a_rule_that_cannot_be_says_why() {
        for (text, reason) in [
            ("500", "the step is missing"),
            ("418@submit", "no kind `418`"),
            ("500@commit", "no step `commit`"),
            ("500:1@submit", "takes no parameter"),
            ("429:soon@submit", "takes whole seconds"),
            ("delay@submit", "takes a parameter"),
            ("delay:-1@submit", "takes seconds"),
            ("slow:1@upload", "cannot happen at upload"),
            ("500@submit=often", "=TIMES is a number"),
            ("500@submit=101%", "0 to 100"),
            ("500@submit+x=1", "+SKIP is a number"),
            ("clock:99999999999@submit", "at most ten years"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
