//! How a failure is said: one line with what failed, on what, then its hint.

use std::process::ExitCode;

use crate::broker::BrokerError;
use crate::keys::KeyError;
use crate::sink::run::RunError;
use crate::warehouse::setup::SetupError;
use crate::warehouse::stage::StageError;
use crate::{generate, warehouse};

/// Data on stdout.
#[expect(clippy::print_stdout, reason = "stdout is the data")]
pub(super) fn print_data(text: &str) {
    println!("{}", text.trim_end());
}

/// The failure and its hint on stderr.
pub(super) fn print(error: &anyhow::Error) {
    eprintln!("{}", describe(error));
}

/// `error: what: why: why` and the hints, each on a line of its own.
pub(super) fn describe(error: &anyhow::Error) -> String {
    let (said, hints) = told(error);
    let mut text = format!("error: {said}");
    for hint in hints {
        text.push_str("\nhint: ");
        text.push_str(&hint);
    }
    text
}

/// `what: why: why` on one line, and the hints.
pub(super) fn told(error: &anyhow::Error) -> (String, Vec<String>) {
    let mut said: Vec<String> = Vec::new();
    let mut hinted = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let (text, hint) = text
            .split_once("\nhint:")
            .map_or((text.as_str(), None), |(text, hint)| (text, Some(hint)));
        // A transparent error says what its cause says.
        if !said.iter().any(|before| before.contains(text)) {
            said.push(text.replace('\n', " "));
        }
        hinted.extend(hint.map(|hint| hint.trim().replace("\nhint: ", "; ")));
    }
    hinted.extend(hints(error));
    hinted.dedup();
    (said.join(": "), hinted)
}

/// What the errors in the chain say can be done.
pub fn hints(error: &anyhow::Error) -> Vec<String> {
    let hint = |cause: &(dyn std::error::Error + 'static)| {
        if let Some(error) = cause.downcast_ref::<BrokerError>() {
            return Some(error.hint());
        }
        if let Some(error) = cause.downcast_ref::<RunError>() {
            return error.hint();
        }
        if let Some(error) = cause.downcast_ref::<SetupError>() {
            return error.hint();
        }
        if let Some(error) = cause.downcast_ref::<warehouse::Error>() {
            return error.hint();
        }
        if let Some(error) = cause.downcast_ref::<StageError>() {
            return error.hint();
        }
        cause.downcast_ref::<KeyError>()?.hint()
    };
    // The outermost hint knows most.
    error.chain().find_map(hint).into_iter().collect()
}

/// 2 for wrong usage, else 1.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref::<generate::UsageError>().is_some() {
        return ExitCode::from(2);
    }
    ExitCode::FAILURE
}
