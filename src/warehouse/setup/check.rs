//! Whether tables can take what is written to them: those in the warehouse, and those that the scripts declare.

use super::{DeclaredTable, Place, SetupError};
use crate::warehouse::{Answer, Client, Error, WarehouseType, holds, is_identifier};

/// What is written to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableContract {
    /// The table, in the configured schema.
    pub name: String,
    /// Each column that is written: its name and its warehouse type.
    pub columns: Vec<(String, String)>,
}

/// Describes each table and says what does not fit, with the statement that helps.
pub async fn check(client: &Client, tables: &[TableContract]) -> Result<(), SetupError> {
    for table in tables {
        let unfit = |problem, hint| SetupError::Unfit {
            table: table.name.clone(),
            problem,
            hint,
        };
        if !is_identifier(&table.name) {
            let hint = "name it with letters, digits and _";
            return Err(unfit("its name is no plain identifier".into(), hint.into()));
        }
        let undescribed = |source| SetupError::Undescribed {
            table: table.name.clone(),
            source: Box::new(source),
        };
        let columns = describe(client, &table.name).await.map_err(undescribed)?;
        compare(table, &columns)
            .map_err(|misfit| unfit(misfit.problem(), misfit.remedy_in_place(&table.name)))?;
    }
    Ok(())
}

async fn describe(client: &Client, table: &str) -> Result<Vec<Column>, Error> {
    let answer = client.execute(&format!("DESCRIBE TABLE {table}")).await?;
    described(&answer)
}

/// All that keeps a table from taking what is written to it: each problem, with the statements that end it. `name` is the table's,
/// with database and schema. No virtual warehouse is needed.
pub(crate) async fn misfits(
    client: &Client,
    name: &str,
    contract: &TableContract,
) -> Result<Vec<(String, Vec<String>)>, Error> {
    let columns = describe(client, name).await?;
    let told = |misfit: Misfit| (misfit.problem(), misfit.statements(name));
    Ok(differences(contract, &columns)
        .into_iter()
        .map(told)
        .collect())
}

/// Compares what is written with what the scripts declare, without a warehouse.
pub fn check_declared(
    declared: &[DeclaredTable],
    tables: &[TableContract],
) -> Result<(), SetupError> {
    for table in tables {
        let Some(found) = declared
            .iter()
            .find(|found| found.name.eq_ignore_ascii_case(&table.name))
        else {
            return Err(SetupError::Unfit {
                table: table.name.clone(),
                problem: "no script of the pipeline's warehouse folder creates it".into(),
                hint: format!(
                    "CREATE TABLE IF NOT EXISTS {} ({})",
                    table.name,
                    definitions(&table.columns)
                ),
            });
        };
        let columns = found.columns.iter().map(|(name, kind, _)| Column {
            name: name.clone(),
            kind: kind.clone(),
            // A declaration's default is not known here; the warehouse is asked for it later.
            demanded: false,
        });
        compare(table, &columns.collect::<Vec<_>>()).map_err(|misfit| SetupError::Script {
            place: Place {
                file: found.file.clone(),
                line: found.line,
            },
            problem: format!("table {} does not fit: {}", found.name, misfit.problem()),
            hint: misfit.remedy_in_script(),
        })?;
    }
    Ok(())
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    name: String,
    kind: String,
    /// A row without a value for it is refused.
    demanded: bool,
}

/// Why a table cannot take what is written to it.
#[derive(Debug, PartialEq, Eq)]
enum Misfit {
    /// These columns are not there.
    Missing(Vec<(String, String)>),
    /// A column cannot hold the type that is written.
    Narrow { column: Column, ours: String },
    /// A column wants a value and gets none.
    Demanded(Column),
}

fn described(answer: &Answer) -> Result<Vec<Column>, Error> {
    let column = |row| {
        let text = |name| Ok::<_, Error>(answer.text(row, name)?.unwrap_or_default().to_owned());
        Ok(Column {
            name: text("name")?,
            kind: text("type")?,
            demanded: text("null?")? == "N" && answer.text(row, "default")?.is_none(),
        })
    };
    (0..answer.rows.len()).map(column).collect()
}

fn compare(contract: &TableContract, columns: &[Column]) -> Result<(), Misfit> {
    match differences(contract, columns).into_iter().next() {
        Some(misfit) => Err(misfit),
        None => Ok(()),
    }
}

/// Missing columns first, then those that are too narrow, then those that nobody writes.
fn differences(contract: &TableContract, columns: &[Column]) -> Vec<Misfit> {
    let of = |name: &str| {
        columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name))
    };
    let missing: Vec<_> = contract
        .columns
        .iter()
        .filter(|(name, _)| of(name).is_none())
        .cloned()
        .collect();
    let mut found = Vec::new();
    if !missing.is_empty() {
        found.push(Misfit::Missing(missing));
    }
    for (name, ours) in &contract.columns {
        if let Some(column) = of(name)
            && !holds(
                &WarehouseType::parse(&column.kind),
                &WarehouseType::parse(ours),
            )
        {
            found.push(Misfit::Narrow {
                column: column.clone(),
                ours: ours.clone(),
            });
        }
    }
    let is_written = |column: &Column| {
        contract
            .columns
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(&column.name))
    };
    let demanded = columns
        .iter()
        .filter(|column| column.demanded && !is_written(column));
    found.extend(demanded.cloned().map(Misfit::Demanded));
    found
}

impl Misfit {
    fn problem(&self) -> String {
        match self {
            Self::Missing(columns) => {
                let names: Vec<_> = columns
                    .iter()
                    .map(|(name, _)| name.to_ascii_uppercase())
                    .collect();
                format!("it has no column {}", names.join(", "))
            }
            Self::Narrow { column, ours } => format!(
                "column {} is {} and has to hold {ours}",
                column.name, column.kind
            ),
            Self::Demanded(column) => {
                format!(
                    "column {} is NOT NULL without a default, and is not written",
                    column.name
                )
            }
        }
    }

    /// What changes the table in the warehouse, as a sentence.
    fn remedy_in_place(&self, table: &str) -> String {
        match (self, self.statements(table).as_slice()) {
            (Self::Missing(columns), _) => {
                format!("ALTER TABLE {table} ADD COLUMN {}", definitions(columns))
            }
            (_, [statement]) => statement.clone(),
            (Self::Narrow { column, ours }, [rename, ..]) => format!(
                "its type cannot be changed in place: {rename}, then ADD COLUMN {} {ours}",
                column.name
            ),
            (_, statements) => statements.join("; "),
        }
    }

    /// What changes the table in the warehouse. It widens a number's precision and a text's length in place, and
    /// changes no other type. <https://docs.snowflake.com/en/sql-reference/sql/alter-table-column>
    fn statements(&self, table: &str) -> Vec<String> {
        use WarehouseType::{Number, Text};
        let (column, ours) = match self {
            Self::Missing(columns) => {
                let add = |column: &(String, String)| {
                    let definition = definitions(std::slice::from_ref(column));
                    format!("ALTER TABLE {table} ADD COLUMN {definition}")
                };
                return columns.iter().map(add).collect();
            }
            Self::Demanded(column) => {
                return vec![format!(
                    "ALTER TABLE {table} ALTER COLUMN {} DROP NOT NULL",
                    column.name
                )];
            }
            Self::Narrow { column, ours } => (column, ours),
        };
        let widens = match (
            WarehouseType::parse(&column.kind),
            WarehouseType::parse(ours),
        ) {
            (Number { scale, .. }, Number { scale: ours, .. }) => scale == ours,
            (Text { .. }, Text { .. }) => true,
            _ => false,
        };
        let name = &column.name;
        match widens {
            true => vec![format!(
                "ALTER TABLE {table} ALTER COLUMN {name} SET DATA TYPE {ours}"
            )],
            false => vec![
                format!("ALTER TABLE {table} RENAME COLUMN {name} TO {name}_OLD"),
                format!("ALTER TABLE {table} ADD COLUMN {name} {ours}"),
            ],
        }
    }

    /// What changes the declaration.
    fn remedy_in_script(&self) -> String {
        match self {
            Self::Missing(columns) => format!("add to the CREATE TABLE: {}", definitions(columns)),
            Self::Narrow { column, ours } => format!("declare it as {} {ours}", column.name),
            Self::Demanded(column) => format!(
                "declare {} without NOT NULL, or with a DEFAULT",
                column.name
            ),
        }
    }
}

fn definitions(columns: &[(String, String)]) -> String {
    let definitions = columns
        .iter()
        .map(|(name, kind)| format!("{} {kind}", name.to_ascii_uppercase()));
    definitions.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract() -> TableContract {
        let columns = [
            ("CUSTOMER_ID", "VARCHAR"),
            ("TOTAL_REVENUE", "NUMBER(28,2)"),
            ("SLUICEBOX_VERSION", "NUMBER(19,0)"),
        ];
        TableContract {
            name: "CUSTOMER_DAILY_METRICS".into(),
            columns: columns
                .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
                .into(),
        }
    }

    fn table(columns: &[(&str, &str, bool)]) -> Vec<Column> {
        let column = |(name, kind, demanded): &(&str, &str, bool)| Column {
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
            demanded: *demanded,
        };
        columns.iter().map(column).collect()
    }

    #[test]
    fn a_table_with_wider_columns_and_more_of_them_fits() {
        let columns = table(&[
            ("CUSTOMER_ID", "VARCHAR(16777216)", true),
            ("TOTAL_REVENUE", "NUMBER(38,2)", false),
            ("SLUICEBOX_VERSION", "NUMBER(19,0)", true),
            ("LOADED_AT", "TIMESTAMP_NTZ(9)", false),
        ]);
        compare(&contract(), &columns).unwrap();
    }

    #[test]
    fn what_does_not_fit_comes_with_the_statement_that_helps() {
        let good = [
            ("CUSTOMER_ID", "VARCHAR(16777216)", true),
            ("TOTAL_REVENUE", "NUMBER(38,2)", false),
            ("SLUICEBOX_VERSION", "NUMBER(19,0)", true),
        ];
        let replaced = |index: usize, column| {
            let mut columns = good;
            columns[index] = column;
            table(&columns)
        };
        let mut demanding = good.to_vec();
        demanding.push(("REGION", "VARCHAR(16777216)", true));
        for (columns, problem, hint) in [
            (
                table(&good[..1]),
                "no column TOTAL_REVENUE, SLUICEBOX_VERSION",
                "ALTER TABLE CUSTOMER_DAILY_METRICS ADD COLUMN TOTAL_REVENUE NUMBER(28,2), SLUICEBOX_VERSION NUMBER(19,0)",
            ),
            (
                replaced(1, ("TOTAL_REVENUE", "NUMBER(18,2)", false)),
                "column TOTAL_REVENUE is NUMBER(18,2) and has to hold NUMBER(28,2)",
                "ALTER TABLE CUSTOMER_DAILY_METRICS ALTER COLUMN TOTAL_REVENUE SET DATA TYPE NUMBER(28,2)",
            ),
            (
                replaced(1, ("TOTAL_REVENUE", "FLOAT", false)),
                "is FLOAT and has to hold NUMBER(28,2)",
                "its type cannot be changed in place: ALTER TABLE CUSTOMER_DAILY_METRICS RENAME COLUMN TOTAL_REVENUE TO \
                 TOTAL_REVENUE_OLD, then ADD COLUMN TOTAL_REVENUE NUMBER(28,2)",
            ),
            (
                table(&demanding),
                "column REGION is NOT NULL without a default",
                "ALTER TABLE CUSTOMER_DAILY_METRICS ALTER COLUMN REGION DROP NOT NULL",
            ),
        ] {
            let misfit = compare(&contract(), &columns).unwrap_err();
            assert!(misfit.problem().contains(problem), "{misfit:?}");
            assert_eq!(misfit.remedy_in_place("CUSTOMER_DAILY_METRICS"), hint);
        }
    }
}
