//! COPY INTO a table, as far as it goes without a file to load.

use datafusion::sql::sqlparser::ast::{CopyIntoSnowflakeKind, Statement};

use super::{
    Grid, SqlError, encode,
    query::parsed,
    session::Work,
    stage::{self, Place},
    target::authorized,
    text,
};

/// Loads nothing from a place where nothing is; files are refused.
pub(crate) async fn copy(work: &Work, sql: &str) -> Result<Grid, SqlError> {
    let normalized = text::normalize(sql)?;
    let Statement::CopyIntoSnowflake {
        kind: CopyIntoSnowflakeKind::Table,
        into,
        into_columns: None,
        from_obj: Some(_),
        from_query: None,
        from_transformations: None,
        files: None,
        pattern: None,
        file_format,
        copy_options,
        validation_mode: None,
        partition: None,
        ..
    } = parsed(normalized.tokens)?
    else {
        return Err(SqlError::unsupported("THIS KIND OF COPY INTO"));
    };
    if !file_format.options.is_empty() || !copy_options.options.is_empty() {
        return Err(SqlError::unsupported("OPTIONS OF COPY INTO"));
    }
    let [source] = normalized.stages.as_slice() else {
        return Err(SqlError::unsupported("THIS KIND OF COPY INTO"));
    };
    authorized(work, &into, &["INSERT"])?;
    let place = place(work, &source.path)?;
    if !stage::files(&work.shared, &place).await?.is_empty() {
        return Err(SqlError::unsupported("COPY INTO FROM STAGED FILES"));
    }
    Ok(encode::status("Copy executed with 0 files processed."))
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
