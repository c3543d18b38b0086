//! DataFusion, set up so that a query means the same in every batch and on every machine.

use std::sync::Arc;

use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::optimizer::Optimizer;
use datafusion::prelude::SessionConfig;

/// DataFusion recurses deeply when it plans; an unoptimised build needs more than a thread's usual 2 MiB.
const PLANNING_STACK_BYTES: usize = 64 << 20;

/// Rows of one batch inside a plan; output in few large batches is what the jobs want.
const PLAN_BATCH_ROWS: usize = 32_768;

/// Runs `plan` on a thread with a stack that is deep enough for it, and waits for it.
pub fn with_planning_stack<T: Send>(plan: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("plan".to_owned())
            .stack_size(PLANNING_STACK_BYTES)
            .spawn_scoped(scope, plan)
            .expect("a thread can be started");
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// One partition, exact literals, plain strings. No physical optimizer: the jobs take the plan apart and build their own
/// from it. Without the rule that turns COUNT(DISTINCT) into two nested aggregates, since its state would not be mergeable.
pub(super) fn session_state() -> SessionState {
    let mut config = SessionConfig::new()
        .with_target_partitions(1)
        .with_batch_size(PLAN_BATCH_ROWS);
    // A Partial aggregation that gives up grouping would yield a key twice; the states of a batch are one for each key.
    config
        .options_mut()
        .execution
        .skip_partial_aggregation_probe_rows_threshold = usize::MAX;
    let parser = &mut config.options_mut().sql_parser;
    parser.parse_float_as_decimal = true;
    parser.map_string_types_to_utf8view = false;
    parser.collect_spans = true;
    let rules = Optimizer::new()
        .rules
        .into_iter()
        .filter(|rule| rule.name() != "single_distinct_aggregation_to_group_by")
        .collect();
    SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_optimizer_rules(rules)
        .with_physical_optimizer_rules(Vec::new())
        .build()
}

/// A context over `session_state()` with one table in it.
pub(super) fn state_with_table(
    name: &str,
    table: Arc<dyn datafusion::catalog::TableProvider>,
) -> Result<SessionState, datafusion::common::DataFusionError> {
    let context = datafusion::prelude::SessionContext::new_with_state(session_state());
    context.register_table(datafusion::common::TableReference::bare(name), table)?;
    Ok(context.state())
}
