//! COPY INTO a table: staged Parquet files become rows, each file once. The table remembers for 64 days what it has
//! loaded; rows and memory are committed together. Rows are only added, and so no lock is taken.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{
    array::StringArray, compute::kernels::regexp::regexp_is_match_scalar, datatypes::Field,
};
use datafusion::sql::sqlparser::ast::{Expr, Statement};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::{
    Bindings, Grid, SqlError, Stats,
    catalog::{Kind, Load},
    copy_statement::{self, CopyInto, Matching, OnError},
    dml::{imaged, wrong_width},
    encode::{self, listed},
    expressions::{call, column, null, text},
    names,
    query::{Scene, parsed, placed},
    resolve::Source,
    rewrite::WHOLE_ROW,
    session::Work,
    shared::now,
    sql_type::SqlType,
    stage::{self, Place, StagedRows},
    target::{Target, at, counter, one_batch, positional},
    text::staged_name,
    transaction::Change,
};

/// How long a table remembers what it has loaded.
const REMEMBERED_MS: i64 = 64 * 24 * 3_600_000;

/// The rows of a file while they are loaded.
const FOUND: &str = "@FOUND";

/// Loads the files that the statement names and that the table has not loaded yet.
pub(crate) async fn copy(work: &mut Work, sql: &str) -> Result<Grid, SqlError> {
    let statement = copy_statement::parse(sql)?;
    let key = names::key(&work.context, Kind::Table, &statement.table)?;
    work.access().require(&work.view(), &key, &["INSERT"])?;
    let place = place(work, &statement.from)?;
    let target = Target::new(&work.view(), &key, None)?;
    let files: Vec<_> = wanted(work, &statement, &place)
        .await?
        .into_iter()
        .filter(|(path, file)| {
            statement.options.force || !loaded(&target.table.loads, &place, path, file)
        })
        .collect();
    if files.is_empty() {
        return Ok(encode::status("Copy executed with 0 files processed."));
    }
    require_format(work, &statement, &place)?;
    let loader = Loader::new(work, &statement, &place, target).await?;
    loader.scene.require_warehouse(true)?;
    let mut reports = Vec::new();
    let mut change = loader.target.unchanged();
    for (path, file) in &files {
        let report = loader.load(work, path, file, &mut change).await?;
        reports.push(report);
    }
    change
        .loads
        .extend(reports.iter().map(|report| report.load.clone()));
    work.finish(&key, change)?;
    if statement.options.purge {
        purge(&loader.store, &files, &reports).await;
    }
    Ok(grid(&reports, statement.options.failed_only))
}

fn place(work: &Work, path: &str) -> Result<Place, SqlError> {
    if let Some(rest) = path.strip_prefix('~') {
        return Ok(stage::of_user(&work.context.user, rest));
    }
    let (catalog, access) = (work.view(), work.access());
    let place = stage::place(&catalog, &access, &work.context, path)?;
    access.require(&catalog, &place.key, &[place.stage.privileges().0])?;
    Ok(place)
}

/// The format that the statement gives, or else the stage's.
fn require_format(work: &Work, statement: &CopyInto, place: &Place) -> Result<(), SqlError> {
    let options = &statement.options;
    if options.parquet || (options.format.is_none() && place.stage.parquet) {
        return Ok(());
    }
    let format = options.format.as_ref().or(place.stage.format.as_ref());
    stage::require_parquet(&work.view(), &work.access(), &work.context, format)
}

/// The files that FILES or PATTERN name, or all of the place.
async fn wanted(
    work: &Work,
    statement: &CopyInto,
    place: &Place,
) -> Result<Vec<(String, ObjectMeta)>, SqlError> {
    let found = stage::files(&work.shared, place).await?;
    if let Some(names) = &statement.options.files {
        let folder = place.path.trim_end_matches('/');
        return names
            .iter()
            .map(|name| {
                let path = if folder.is_empty() {
                    name.clone()
                } else {
                    format!("{folder}/{name}")
                };
                let file = found.iter().find(|(found, _)| *found == path);
                file.cloned().ok_or_else(|| {
                    let from = statement.from.trim_end_matches('/');
                    stage::not_found(&format!("{from}/{name}"))
                })
            })
            .collect();
    }
    let Some(pattern) = &statement.options.pattern else {
        return Ok(found);
    };
    let paths: StringArray = found.iter().map(|(path, _)| Some(path.as_str())).collect();
    let whole = format!("^(?:{pattern})$");
    let matches = regexp_is_match_scalar(&paths, &whole, None).map_err(|error| {
        SqlError::new(
            "100048",
            "2201B",
            format!("Invalid regular expression: '{pattern}', {error}"),
        )
    })?;
    Ok(found
        .into_iter()
        .zip(matches.iter())
        .filter(|(_, matches)| *matches == Some(true))
        .map(|(file, _)| file)
        .collect())
}

/// Whether the table has loaded this very file and still remembers it.
fn loaded(loads: &[Load], place: &Place, path: &str, file: &ObjectMeta) -> bool {
    let name = format!("{}/{path}", place.key.full_name());
    let since = now() - REMEMBERED_MS;
    loads.iter().any(|load| {
        load.first_error.is_none()
            && load.file == name
            && load.size == file.size
            && load.e_tag == file.e_tag
            && load.at >= since
    })
}

/// What became of one file.
struct Report {
    /// As LIST shows it.
    shown: String,
    /// Most errors that the file may have.
    error_limit: usize,
    load: Load,
}

/// Loads files into one table.
struct Loader<'a> {
    statement: &'a CopyInto,
    place: &'a Place,
    target: Target,
    scene: Scene,
    /// The query over the staged rows, when there is one.
    query: Option<datafusion::sql::sqlparser::ast::Query>,
    store: Arc<dyn ObjectStore>,
}

impl<'a> Loader<'a> {
    async fn new(
        work: &Work,
        statement: &'a CopyInto,
        place: &'a Place,
        target: Target,
    ) -> Result<Self, SqlError> {
        let sql = statement.query.as_deref().unwrap_or("SELECT 1");
        let mut normalized = super::text::normalize(sql)?;
        // The rows come file by file.
        normalized.stages.clear();
        let scene = Scene::new(work, &normalized, &Bindings::new()).await?;
        let query = match (&statement.query, parsed(normalized.tokens)?) {
            (Some(_), Statement::Query(query)) => Some(*query),
            (Some(_), _) => return Err(SqlError::unsupported("THIS KIND OF COPY INTO")),
            (None, _) => None,
        };
        Ok(Self {
            statement,
            place,
            target,
            scene,
            query,
            store: stage::opened(&work.shared, place)?.0,
        })
    }

    /// Loads one file: its rows go into the change, or the report says why they do not.
    async fn load(
        &self,
        work: &Work,
        path: &str,
        file: &ObjectMeta,
        change: &mut Change,
    ) -> Result<Report, SqlError> {
        let mut load = Load {
            file: format!("{}/{path}", self.place.key.full_name()),
            size: file.size,
            e_tag: file.e_tag.clone(),
            at: now(),
            rows_parsed: 0,
            rows_loaded: 0,
            first_error: None,
        };
        let on_error = self.statement.options.on_error;
        let staged = stage::read_file(&self.store, path, file).await;
        let outcome = match staged {
            Err(error) if on_error == OnError::Abort => return Err(error),
            Err(error) => Err(error),
            Ok(staged) => {
                load.rows_parsed = staged.row_count();
                match self.rows(work, staged).await {
                    // Values that cannot be converted end the statement, whatever CONTINUE says: these are Parquet files.
                    Err(error) if on_error != OnError::SkipFile => return Err(error),
                    other => other,
                }
            }
        };
        match outcome {
            Ok(added) => {
                load.rows_loaded = load.rows_parsed;
                change.added.extend(added.added);
            }
            Err(error) => load.first_error = Some(error.message),
        }
        Ok(Report {
            shown: format!("{}{path}", stage::shown_prefix(self.place)),
            error_limit: 1,
            load,
        })
    }

    /// The change that the file's rows make.
    async fn rows(&self, work: &Work, staged: StagedRows) -> Result<Change, SqlError> {
        let target = &self.target;
        let listed = target.listed(&self.statement.columns)?;
        let (values, source) = match &self.query {
            Some(query) => {
                let mut scene = self.scene.clone();
                scene.staged = vec![staged];
                let (found, _) = scene
                    .run(query.clone(), Vec::new())
                    .await
                    .map_err(|error| {
                        placed(error, self.statement.query.as_deref().unwrap_or_default())
                    })?;
                let width = found.schema.fields().len();
                if width != listed.len() {
                    return Err(wrong_width(listed.len(), width));
                }
                let values = listed.iter().copied().zip((0..width).map(at)).collect();
                (values, positional(found, FOUND)?)
            }
            None => (
                self.columns_of(&listed, &staged)?,
                Source {
                    name: staged_name(0),
                    schema: staged.schema,
                    batches: staged.batches,
                },
            ),
        };
        let rows = one_batch(&imaged(&self.scene, &target.table, values, source).await?)?;
        target.change(work, &BTreeMap::new(), Some(rows))
    }

    /// What each column gets without a query: the file's column of its name, or the whole row in the only column.
    fn columns_of(
        &self,
        listed: &[usize],
        staged: &StagedRows,
    ) -> Result<BTreeMap<usize, Expr>, SqlError> {
        let columns = &self.target.table.columns;
        let matching = self.statement.options.matching;
        let fields = staged.schema.fields();
        if matching == Matching::Off {
            return match listed {
                [only] if columns[*only].sql_type.is_semi_structured() => {
                    let members = fields
                        .iter()
                        .flat_map(|field| [text(field.name().clone()), column(field.name())]);
                    Ok(BTreeMap::from([(
                        *only,
                        call(WHOLE_ROW, members.collect()),
                    )]))
                }
                _ => Err(SqlError::new(
                    "002019",
                    "0A000",
                    "SQL compilation error:\nPARQUET file format can produce one and only one column of type variant, \
                     object, or array. Load data into separate columns using the MATCH_BY_COLUMN_NAME copy option or \
                     copy with transformation.",
                )),
            };
        }
        let same = |field: &Field, name: &str| match matching {
            Matching::AnyCase => field.name().to_uppercase() == name.to_uppercase(),
            _ => field.name() == name,
        };
        let mut values = BTreeMap::new();
        for (index, wanted) in columns.iter().enumerate() {
            let name = &wanted.name;
            let found: BTreeSet<&String> = fields
                .iter()
                .filter(|field| listed.contains(&index) && same(field, name))
                .map(|field| field.name())
                .collect();
            if found.len() > 1 {
                return Err(SqlError::new(
                    "002028",
                    "42601",
                    format!("SQL compilation error:\nambiguous column name '{name}'"),
                ));
            }
            // Without a column in the file the value is NULL, not the default.
            let value = found.first().map_or_else(null, |name| column(name));
            values.insert(index, value);
        }
        Ok(values)
    }
}

/// Removes the files that were loaded. One that cannot be removed stays, and that is no error.
async fn purge(store: &Arc<dyn ObjectStore>, files: &[(String, ObjectMeta)], reports: &[Report]) {
    for ((_, file), report) in files.iter().zip(reports) {
        if report.load.first_error.is_none()
            && let Err(error) = store.delete(&file.location).await
        {
            tracing::warn!(file = %file.location, %error, "staged file not purged");
        }
    }
}

/// A row for each file. Parquet files have no lines: an error has no place.
fn grid(reports: &[Report], failed_only: bool) -> Grid {
    let mut columns = vec![listed("file"), listed("status")];
    let counters = ["rows_parsed", "rows_loaded", "error_limit", "errors_seen"];
    columns.extend(counters.map(counter));
    columns.push(listed("first_error"));
    columns.extend(["first_error_line", "first_error_character"].map(|name| {
        let number = SqlType::Number {
            precision: 19,
            scale: 0,
        };
        number.grid_column(name, true)
    }));
    columns.push(listed("first_error_column_name"));
    let rows = reports
        .iter()
        .filter(|report| !failed_only || report.load.first_error.is_some())
        .map(|report| {
            let load = &report.load;
            let failed = load.first_error.is_some();
            vec![
                Some(report.shown.clone()),
                Some(load.status().to_owned()),
                Some(load.rows_parsed.to_string()),
                Some(load.rows_loaded.to_string()),
                Some(report.error_limit.to_string()),
                Some(u8::from(failed).to_string()),
                load.first_error.clone(),
                None,
                None,
                None,
            ]
        })
        .collect();
    let inserted: usize = reports.iter().map(|report| report.load.rows_loaded).sum();
    let stats = Stats {
        rows_inserted: inserted as u64,
        ..Stats::default()
    };
    Grid {
        stats: (inserted > 0).then_some(stats),
        ..encode::listing(columns, rows)
    }
}
