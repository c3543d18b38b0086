//! The leaf of a plan: one batch at a time, put in by the job.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};

/// A table whose rows are not known when a query over it is planned.
#[derive(Debug)]
pub(super) struct BatchTable {
    schema: SchemaRef,
}

impl BatchTable {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }
}

#[async_trait::async_trait]
impl TableProvider for BatchTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = projection
            .cloned()
            .unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        Ok(Arc::new(BatchSource::empty(&self.schema, columns)?))
    }
}

/// Yields the batch it holds, once per execution. Statistics are unknown, so no optimizer concludes anything from emptiness.
#[derive(Debug)]
pub(super) struct BatchSource {
    columns: Vec<usize>,
    batches: Vec<RecordBatch>,
    properties: Arc<PlanProperties>,
}

impl BatchSource {
    fn empty(table: &SchemaRef, columns: Vec<usize>) -> Result<Self> {
        let schema = Arc::new(table.project(&columns)?);
        Ok(Self {
            columns,
            batches: Vec::new(),
            properties: properties(schema),
        })
    }

    /// A leaf with these rows, whatever their schema.
    pub(super) fn of(batch: RecordBatch) -> Self {
        let properties = properties(batch.schema());
        Self {
            columns: (0..batch.num_columns()).collect(),
            batches: vec![batch],
            properties,
        }
    }
}

fn properties(schema: SchemaRef) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

/// `plan` with every leaf replaced by one that holds the columns it wants of `batch`. The nodes above are new as well, so
/// that metrics of thousands of executions do not pile up in them.
pub(super) fn with_rows(
    plan: &Arc<dyn ExecutionPlan>,
    batch: &RecordBatch,
) -> Result<Arc<dyn ExecutionPlan>> {
    let filled = Arc::clone(plan).transform_up(|node| {
        let Some(leaf) = node.downcast_ref::<BatchSource>() else {
            return Ok(Transformed::no(node));
        };
        let batch = batch.project(&leaf.columns)?;
        let leaf = BatchSource {
            columns: leaf.columns.clone(),
            batches: vec![batch],
            properties: Arc::clone(&leaf.properties),
        };
        Ok(Transformed::yes(Arc::new(leaf) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(filled.data)
}

impl DisplayAs for BatchSource {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BatchSource: columns={:?}", self.columns)
    }
}

impl ExecutionPlan for BatchSource {
    fn name(&self) -> &'static str {
        "BatchSource"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        _partition: usize,
        _context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        Ok(Box::pin(MemoryStream::try_new(
            self.batches.clone(),
            self.schema(),
            None,
        )?))
    }
}
