//! The engine through its public surface.

use super::{Binding, Bindings, Engine, Grid, Session, SessionContext, SqlError, Stats, User};

mod copy;
mod ddl;
mod dml;
mod flatten;
mod functions;
mod inserts;
mod load;
mod privileges;
mod select;
mod types;
mod views;

/// A warehouse with database D, schema S, and an administrator in it.
async fn warehouse() -> (Engine, Session) {
    let engine = Engine::in_memory();
    let session = administrator(&engine, "CREATE DATABASE D; CREATE SCHEMA S").await;
    (engine, session)
}

/// An administrator who has run these statements.
async fn administrator(engine: &Engine, sql: &str) -> Session {
    let mut session = engine.admin();
    run(&mut session, "ALTER SESSION SET TIMEZONE = 'UTC'").await;
    run(&mut session, sql).await;
    session
}

/// A second session of an administrator in D.S.
async fn another(engine: &Engine) -> Session {
    administrator(engine, "USE SCHEMA D.S").await
}

/// Runs all statements; the last one's grid.
async fn run(session: &mut Session, sql: &str) -> Grid {
    let mut last = None;
    for statement in Session::split(sql).unwrap() {
        match session.execute(&statement, &Bindings::new()).await {
            Ok(grid) => last = Some(grid),
            Err(error) => panic!("{statement}\n{error}"),
        }
    }
    last.expect("there is a statement")
}

async fn fail(session: &mut Session, sql: &str) -> SqlError {
    match session.execute(sql, &Bindings::new()).await {
        Ok(grid) => panic!("{sql} yields {:?}", grid.rows),
        Err(error) => error,
    }
}

/// The rows as text: values separated by `|`, NULL as `-`.
fn lines(grid: &Grid) -> Vec<String> {
    grid.rows
        .iter()
        .map(|row| {
            let values: Vec<&str> = row
                .iter()
                .map(|value| value.as_deref().unwrap_or("-"))
                .collect();
            values.join("|")
        })
        .collect()
}

async fn rows(session: &mut Session, sql: &str) -> Vec<String> {
    lines(&run(session, sql).await)
}

fn binding(kind: &str, value: &str) -> Binding {
    Binding {
        kind: kind.to_owned(),
        value: Some(value.to_owned()),
    }
}
