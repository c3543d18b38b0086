//! raw_events.sql: the declared shape of a raw event.

use std::path::Path;

use datafusion::sql::sqlparser::ast::{
    ColumnOption, DataType, ExactNumberInfo, Spanned, Statement, TimezoneInfo,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::error::SqlError;
use super::types::{Column, SqlType};
use super::words::Words;

const ACCEPTED: &str = "the file holds one statement, CREATE TABLE raw_events (column TYPE, ...), with the types VARCHAR, DECIMAL(p, s), \
     BIGINT, DOUBLE, BOOLEAN, DATE and TIMESTAMP";

/// Reads the columns that raw_events.sql declares, in their order.
pub(super) fn raw_columns(file: &Path, text: &str) -> Result<Vec<Column>, SqlError> {
    let refuse = |line, message: String| SqlError::new(file, line, message, ACCEPTED);
    let words = Words::of(text);
    let statements = Parser::parse_sql(&GenericDialect {}, text)
        .map_err(|error| SqlError::planning(file, &words, &error.into(), ACCEPTED))?;
    let [Statement::CreateTable(table)] = statements.as_slice() else {
        return Err(refuse(
            None,
            "it is not one CREATE TABLE statement".to_owned(),
        ));
    };
    if !table
        .name
        .to_string()
        .trim_matches('"')
        .eq_ignore_ascii_case("raw_events")
    {
        return Err(refuse(
            words.line_of("CREATE"),
            format!("the table is called `{}`, not `raw_events`", table.name),
        ));
    }
    if table.query.is_some() {
        let message = "it is made AS SELECT, and not of declared columns".to_owned();
        return Err(refuse(words.line_of("AS"), message));
    }
    if let Some(constraint) = table.constraints.first() {
        let message = format!("`{constraint}` is a rule, and rules belong into clean_events.sql");
        let line = Some(constraint.span().start.line).filter(|line| *line > 0);
        return Err(refuse(line, message));
    }
    let mut columns: Vec<Column> = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let line = Some(column.name.span.start.line).filter(|line| *line > 0);
        let name = match column.name.quote_style {
            Some(_) => column.name.value.clone(),
            None => column.name.value.to_lowercase(),
        };
        if name.starts_with('_') {
            return Err(refuse(
                line,
                format!("column `{name}`: names that start with `_` are the record's own columns"),
            ));
        }
        if columns.iter().any(|other| other.name == name) {
            return Err(refuse(line, format!("column `{name}` is declared twice")));
        }
        if let Some(option) = column
            .options
            .iter()
            .find(|option| !matches!(option.option, ColumnOption::Comment(_)))
        {
            let message = format!(
                "column `{name}`: `{option}` is a rule, and rules belong into clean_events.sql"
            );
            return Err(refuse(line, message));
        }
        let sql_type = sql_type(&column.data_type).ok_or_else(|| {
            refuse(
                line,
                format!(
                    "column `{name}`: type `{}` is not accepted",
                    column.data_type
                ),
            )
        })?;
        columns.push(Column { name, sql_type });
    }
    if columns.is_empty() {
        return Err(refuse(
            words.line_of("CREATE"),
            "it declares no column".to_owned(),
        ));
    }
    Ok(columns)
}

fn sql_type(declared: &DataType) -> Option<SqlType> {
    Some(match declared {
        DataType::Varchar(None) | DataType::Text | DataType::String(None) => SqlType::Varchar,
        DataType::BigInt(None) => SqlType::BigInt,
        DataType::Double(ExactNumberInfo::None) | DataType::DoublePrecision => SqlType::Double,
        DataType::Boolean | DataType::Bool => SqlType::Boolean,
        DataType::Date => SqlType::Date,
        DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            SqlType::Timestamp
        }
        DataType::Decimal(ExactNumberInfo::PrecisionAndScale(precision, scale))
        | DataType::Numeric(ExactNumberInfo::PrecisionAndScale(precision, scale)) => {
            let precision = u8::try_from(*precision)
                .ok()
                .filter(|precision| (1..=38).contains(precision))?;
            let scale = u8::try_from(*scale)
                .ok()
                .filter(|scale| *scale <= precision)?;
            SqlType::Decimal { precision, scale }
        }
        _ => return None,
    })
}
