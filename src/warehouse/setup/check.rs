//! Whether the warehouse's tables can take what is written to them.

use super::SetupError;
use crate::warehouse::{Answer, Client, WarehouseType, holds, is_identifier};

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
        if !is_identifier(&table.name) {
            let problem = "its name is no plain identifier".to_owned();
            let hint = "name it with letters, digits and _".to_owned();
            return Err(SetupError::Unfit {
                table: table.name.clone(),
                problem,
                hint,
            });
        }
        let undescribed = |source| SetupError::Undescribed {
            table: table.name.clone(),
            source: Box::new(source),
        };
        let answer = client
            .execute(&format!("DESCRIBE TABLE {}", table.name))
            .await
            .map_err(undescribed)?;
        let columns = described(&answer).map_err(undescribed)?;
        compare(table, &columns)?;
    }
    Ok(())
}

/// A column of a table in the warehouse.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    name: String,
    kind: String,
    /// A row without a value for it is refused.
    demanded: bool,
}

fn described(answer: &Answer) -> Result<Vec<Column>, crate::warehouse::Error> {
    let column = |row| {
        let text = |name| {
            Ok::<_, crate::warehouse::Error>(answer.text(row, name)?.unwrap_or_default().to_owned())
        };
        Ok(Column {
            name: text("name")?,
            kind: text("type")?,
            demanded: text("null?")? == "N" && answer.text(row, "default")?.is_none(),
        })
    };
    (0..answer.rows.len()).map(column).collect()
}

fn compare(contract: &TableContract, columns: &[Column]) -> Result<(), SetupError> {
    let table = &contract.name;
    let unfit = |problem, hint| {
        Err(SetupError::Unfit {
            table: table.clone(),
            problem,
            hint,
        })
    };
    let of = |name: &str| {
        columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name))
    };
    let missing: Vec<_> = contract
        .columns
        .iter()
        .filter(|(name, _)| of(name).is_none())
        .collect();
    if !missing.is_empty() {
        let names: Vec<_> = missing
            .iter()
            .map(|(name, _)| name.to_ascii_uppercase())
            .collect();
        let added: Vec<_> = missing
            .iter()
            .map(|(name, kind)| format!("{} {kind}", name.to_ascii_uppercase()))
            .collect();
        return unfit(
            format!("it has no column {}", names.join(", ")),
            format!("ALTER TABLE {table} ADD COLUMN {}", added.join(", ")),
        );
    }
    for (name, kind) in &contract.columns {
        let Some(column) = of(name) else { continue };
        if !holds(
            &WarehouseType::parse(&column.kind),
            &WarehouseType::parse(kind),
        ) {
            return unfit(
                format!(
                    "column {} is {} and has to hold {kind}",
                    column.name, column.kind
                ),
                widening(table, column, kind),
            );
        }
    }
    let is_written = |column: &Column| {
        contract
            .columns
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(&column.name))
    };
    if let Some(column) = columns
        .iter()
        .find(|column| column.demanded && !is_written(column))
    {
        return unfit(
            format!(
                "column {} is NOT NULL without a default, and is not written",
                column.name
            ),
            format!(
                "ALTER TABLE {table} ALTER COLUMN {} DROP NOT NULL",
                column.name
            ),
        );
    }
    Ok(())
}

/// The warehouse widens a number's precision and a text's length in place, and nothing else.
/// <https://docs.snowflake.com/en/sql-reference/sql/alter-table-column>
fn widening(table: &str, column: &Column, kind: &str) -> String {
    use WarehouseType::{Number, Text};
    let in_place = match (
        WarehouseType::parse(&column.kind),
        WarehouseType::parse(kind),
    ) {
        (Number { scale, .. }, Number { scale: ours, .. }) => scale == ours,
        (Text { .. }, Text { .. }) => true,
        _ => false,
    };
    match in_place {
        true => format!(
            "ALTER TABLE {table} ALTER COLUMN {} SET DATA TYPE {kind}",
            column.name
        ),
        false => format!(
            "its type cannot be changed in place: ALTER TABLE {table} RENAME COLUMN {0} TO {0}_OLD, then ADD COLUMN {0} {kind}",
            column.name
        ),
    }
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
            let error = compare(&contract(), &columns).unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
            assert_eq!(error.hint().unwrap(), hint);
        }
    }
}
