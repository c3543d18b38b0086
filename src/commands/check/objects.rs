//! The warehouse's objects: which there have to be, and what the loader's role has to be allowed to do with them.

use super::grants::Grants;
use super::report::Trouble;
use crate::commands::{tables, verify};
use crate::config::Config;
use crate::sink::table::{Kind, TargetTable};
use crate::warehouse::setup::Statement;

/// The role that can do everything that the remedies do.
const ADMINISTRATOR: &str = "ACCOUNTADMIN";

/// An object that has to be there, and the privileges that the loader's role needs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    /// As it stands in SQL: `TABLE`, `FILE FORMAT`, ...
    pub(super) kind: &'static str,
    /// Its name, with database and schema where it is in one.
    pub(super) name: String,
    pub(super) privileges: &'static [&'static str],
    /// The statement of the pipeline's scripts that makes it.
    create: Option<String>,
}

/// Who needs it, and where.
#[derive(Debug, Clone)]
pub(super) struct Place {
    database: String,
    schema: String,
    role: String,
}

impl Place {
    pub(super) fn new(config: &Config) -> Self {
        let section = &config.warehouse;
        Self {
            database: section.database.to_ascii_uppercase(),
            schema: section.schema.to_ascii_uppercase(),
            role: section.role.to_ascii_uppercase(),
        }
    }

    /// An object of the schema, by its full name.
    pub(super) fn full(&self, name: &str) -> String {
        format!(
            "{}.{}.{}",
            self.database,
            self.schema,
            name.to_ascii_uppercase()
        )
    }

    /// Statements as a script that an administrator can run as it is.
    pub(super) fn script(&self, statements: &[String]) -> String {
        let mut script = format!("USE ROLE {ADMINISTRATOR};");
        let full = format!("{}.{}", self.database, self.schema);
        let is_short = |statement: &String| {
            statement.starts_with("CREATE") && !statement.to_ascii_uppercase().contains(&full)
        };
        let makes_a_place = |statement: &String| {
            ["DATABASE", "WAREHOUSE", "ROLE", "SCHEMA"]
                .iter()
                .any(|kind| created(statement, kind).is_some())
        };
        if statements
            .iter()
            .any(|statement| is_short(statement) && !makes_a_place(statement))
        {
            script.push_str(&format!(" USE SCHEMA {full};"));
        }
        for statement in statements {
            script.push_str(&format!(" {statement};"));
        }
        script
    }
}

/// The line of a need in the report.
pub(super) fn line(need: &Need) -> String {
    format!("{} {}", need.kind.to_ascii_lowercase(), need.name)
}

/// Everything that is needed, in the order of dependence: virtual warehouse, database and schema are the first three.
pub(super) fn needs(config: &Config, targets: &[TargetTable], scripts: &[Statement]) -> Vec<Need> {
    let section = &config.warehouse;
    let place = Place::new(config);
    let need = |kind: &'static str, name: String, privileges: &'static [&'static str]| Need {
        create: creation(scripts, kind, &name),
        kind,
        name,
        privileges,
    };
    let within = |kind, name: &str, privileges| need(kind, place.full(name), privileges);
    // Files are written to an internal stage by the warehouse's leave, to an external one by the bucket's.
    let stage: &[&str] = match section.stage_url.is_empty() {
        true => &["READ", "WRITE"],
        false => &["USAGE"],
    };
    let schema = format!("{}.{}", place.database, place.schema);
    let mut needs = vec![
        need(
            "WAREHOUSE",
            section.warehouse.to_ascii_uppercase(),
            &["USAGE"],
        ),
        need("DATABASE", place.database.clone(), &["USAGE"]),
        need("SCHEMA", schema, &["USAGE"]),
        within("FILE FORMAT", tables::FILE_FORMAT, &["USAGE"]),
        within("STAGE", &section.stage, stage),
        within("TABLE", tables::CONTROL, &["SELECT", "INSERT", "UPDATE"]),
    ];
    for target in targets {
        let privileges: &[&str] = match target.kind() {
            Kind::Upsert { .. } => &["SELECT", "INSERT", "UPDATE", "DELETE"],
            Kind::Append => &["SELECT", "INSERT"],
        };
        needs.push(within("TABLE", target.name(), privileges));
    }
    let views = scripts
        .iter()
        .filter_map(|statement| verify::created_view(&statement.text));
    needs.extend(views.map(|view| within("VIEW", &view.name, &["SELECT"])));
    needs
}

/// Whether the role may do all that it has to. Whether what it does not see exists, the warehouse does not say.
pub(super) fn judge(need: &Need, grants: &Grants, place: &Place) -> Result<String, Trouble> {
    let Need {
        kind,
        name,
        privileges,
        create,
    } = need;
    let role = &place.role;
    let lacking = grants.lacking(kind, name, privileges);
    if lacking.is_empty() {
        return Ok(format!("{role} has {}", privileges.join(", ")));
    }
    let grant = format!(
        "GRANT {} ON {kind} {name} TO ROLE {role}",
        lacking.join(", ")
    );
    if grants.know(kind, name) {
        return Err(Trouble::new(
            format!("{role} lacks {}", lacking.join(", ")),
            place.script(&[grant]),
        ));
    }
    let statements: Vec<String> = create.iter().cloned().chain([grant]).collect();
    Err(Trouble::new(
        format!("it does not exist, or {role} has no privilege on it"),
        place.script(&statements),
    ))
}

/// The statement that makes an object, on one line, so that it does nothing where the object is there.
fn creation(scripts: &[Statement], kind: &str, name: &str) -> Option<String> {
    let wanted = name.rsplit('.').next().unwrap_or(name);
    let found = scripts.iter().find(|statement| {
        created(&statement.text, kind).is_some_and(|found| found.eq_ignore_ascii_case(wanted))
    })?;
    let line = on_one_line(&found.text);
    // A view that is made anew loses its grants to others.
    Some(match line.strip_prefix("CREATE OR REPLACE VIEW ") {
        Some(rest) => format!("CREATE VIEW IF NOT EXISTS {rest}"),
        None => line,
    })
}

/// The name of the object of this kind that a statement makes, without database and schema.
fn created(text: &str, kind: &str) -> Option<String> {
    let mut words = text
        .split(|c: char| c.is_whitespace() || c == '(')
        .filter(|word| !word.is_empty())
        .peekable();
    if !words.next()?.eq_ignore_ascii_case("CREATE") {
        return None;
    }
    let skipped = ["OR", "REPLACE", "TRANSIENT", "SECURE"];
    while words.next_if(|word| is_one_of(word, &skipped)).is_some() {}
    for expected in kind.split(' ') {
        if !words.next()?.eq_ignore_ascii_case(expected) {
            return None;
        }
    }
    while words
        .next_if(|word| is_one_of(word, &["IF", "NOT", "EXISTS"]))
        .is_some()
    {}
    let name = words.next()?.rsplit('.').next()?;
    Some(name.trim_matches('"').to_owned())
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|other| word.eq_ignore_ascii_case(other))
}

/// The same statement without line ends and runs of blanks; what is in quotes stays as it is.
fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut quote = None;
    for character in text.chars() {
        match quote {
            Some(open) => {
                line.push(character);
                if character == open {
                    quote = None;
                }
            }
            None if character.is_whitespace() => {
                if !line.ends_with(' ') {
                    line.push(' ');
                }
            }
            None => {
                if character == '\'' || character == '"' {
                    quote = Some(character);
                }
                line.push(character);
            }
        }
    }
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(text: &str) -> Statement {
        Statement {
            place: crate::warehouse::setup::Place {
                file: "a.sql".into(),
                line: 1,
            },
            text: text.to_owned(),
        }
    }

    fn place() -> Place {
        Place {
            database: "D".into(),
            schema: "S".into(),
            role: "R".into(),
        }
    }

    #[test]
    fn the_statement_that_makes_an_object_is_found_in_the_scripts() {
        let scripts = [
            "CREATE TABLE IF NOT EXISTS D.S.T (\n    A  DATE,\n    B VARCHAR DEFAULT 'x  y'\n)",
            "create or replace view d.s.v as select a from t",
            "CREATE OR REPLACE VIEW D.S.W AS\nSELECT 1",
            "CREATE FILE FORMAT IF NOT EXISTS F TYPE = PARQUET",
            "GRANT SELECT ON TABLE D.S.T TO ROLE R",
        ]
        .map(statement);
        for (kind, name, made) in [
            (
                "TABLE",
                "D.S.T",
                Some("CREATE TABLE IF NOT EXISTS D.S.T ( A DATE, B VARCHAR DEFAULT 'x  y' )"),
            ),
            (
                "VIEW",
                "D.S.V",
                Some("create or replace view d.s.v as select a from t"),
            ),
            (
                "VIEW",
                "D.S.W",
                Some("CREATE VIEW IF NOT EXISTS D.S.W AS SELECT 1"),
            ),
            (
                "FILE FORMAT",
                "D.S.F",
                Some("CREATE FILE FORMAT IF NOT EXISTS F TYPE = PARQUET"),
            ),
            ("TABLE", "D.S.V", None),
        ] {
            assert_eq!(
                creation(&scripts, kind, name).as_deref(),
                made,
                "{kind} {name}"
            );
        }
    }

    #[test]
    fn an_internal_stage_is_written_to_by_leave_of_the_warehouse() {
        let mut config = Config::default();
        let privileges = |config: &Config| {
            let needs = needs(config, &[], &[]);
            let stage = needs.into_iter().find(|need| need.kind == "STAGE");
            stage.unwrap().privileges
        };
        assert_eq!(privileges(&config), ["READ", "WRITE"]);
        config.warehouse.stage_url = "s3://bucket/".to_owned();
        assert_eq!(privileges(&config), ["USAGE"]);
    }

    #[test]
    fn what_is_not_there_is_made_and_granted_in_the_right_place() {
        let need = Need {
            kind: "FILE FORMAT",
            name: "D.S.F".into(),
            privileges: &["USAGE"],
            create: Some("CREATE FILE FORMAT IF NOT EXISTS F TYPE = PARQUET".into()),
        };
        let trouble = judge(&need, &Grants::default(), &place()).unwrap_err();
        assert_eq!(
            trouble.fixes,
            [
                "USE ROLE ACCOUNTADMIN; USE SCHEMA D.S; CREATE FILE FORMAT IF NOT EXISTS F TYPE = PARQUET; \
              GRANT USAGE ON FILE FORMAT D.S.F TO ROLE R;"
            ]
        );
        let database = Need {
            kind: "DATABASE",
            name: "D".into(),
            create: Some("CREATE DATABASE IF NOT EXISTS D".into()),
            ..need
        };
        let trouble = judge(&database, &Grants::default(), &place()).unwrap_err();
        assert_eq!(
            trouble.fixes,
            [
                "USE ROLE ACCOUNTADMIN; CREATE DATABASE IF NOT EXISTS D; GRANT USAGE ON DATABASE D TO ROLE R;"
            ]
        );
    }
}
