//! `sluicebox query`: one statement for the warehouse, its answer as a table, JSON or CSV on stdout.

mod decode;
mod format;

use super::{Client, Error};

pub use format::{csv, json, table};

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for people
    #[default]
    Table,
    /// An array of one object a row; numbers with all their digits
    Json,
    /// RFC 4180, with a header; NULL is empty, an empty text is ""
    Csv,
}

/// Run one statement in the warehouse and print its answer.
#[derive(Debug, clap::Args)]
pub struct QueryArgs {
    /// The statement
    pub sql: String,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the statement and prints the answer on stdout.
#[expect(clippy::print_stdout, reason = "stdout is the data")]
pub async fn run(client: &Client, args: &QueryArgs) -> Result<(), Error> {
    let answer = client.execute(&args.sql).await?;
    match args.format {
        Format::Table => println!("{}", table(&answer)),
        Format::Json => println!("{}", json(&answer)),
        Format::Csv => print!("{}", csv(&answer)),
    }
    Ok(())
}
