//! The files of a pipeline, and what its deployment has to know of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::kafka::unique;

/// The gold table of customer_metrics, and with it its topic.
const GOLD: &str = "customer_daily_metrics";

/// A pipeline's folder, in memory.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    /// By path in the folder.
    pub(crate) files: BTreeMap<PathBuf, String>,
    pub(crate) key: &'static str,
    pub(crate) event_id: &'static str,
    pub(crate) clean_table: &'static str,
    /// The gold table and its topic.
    pub(crate) gold: String,
    /// Whether its files go through a bucket of the user's rather than through the warehouse's own stage.
    pub(crate) external_stage: bool,
}

impl Pipeline {
    /// The repository's customer_metrics. A gold topic is named after its file, so on the Kafka that all tests share it
    /// gets a name of its own, in the file's name and in the scripts.
    pub(crate) fn customer_metrics() -> Self {
        let gold = unique(GOLD).replace('-', "_");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/customer_metrics");
        let mut files = BTreeMap::new();
        for part in ["", "gold", "warehouse"] {
            for entry in fs::read_dir(folder.join(part)).expect("the pipeline has this folder") {
                let path = entry.expect("the folder can be read").path();
                if path.extension().is_some_and(|extension| extension == "sql") {
                    let text = fs::read_to_string(&path).expect("a script is text");
                    let text = text.replace(&GOLD.to_uppercase(), &gold.to_uppercase());
                    let path = path.strip_prefix(&folder).expect("it lies in the folder");
                    let path = path.to_str().expect("the names are text");
                    files.insert(path.replace(GOLD, &gold).into(), text);
                }
            }
        }
        Self {
            files,
            key: "customer_id",
            event_id: "event_id",
            clean_table: "KAFKA_EVENTS_SILVER",
            gold,
            external_stage: false,
        }
    }

    /// The scripts that every pipeline has, of the control table and of the stage, and these files; the rest is to be set.
    pub(crate) fn of_files<'a>(files: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let mut pipeline = Self::customer_metrics();
        pipeline.files.retain(|path, _| {
            path.ends_with("02_sluicebox_control.sql") || path.ends_with("02_stage.sql")
        });
        let files = files.into_iter().map(|(path, text)| (path.into(), text));
        pipeline.files.extend(files);
        pipeline
    }

    /// Replaces a text that stands in one file, once.
    pub(crate) fn edit(&mut self, path: impl AsRef<Path>, from: &str, to: &str) {
        let path = path.as_ref();
        let text = self.files.get_mut(path);
        let text = text.unwrap_or_else(|| panic!("there is no {}", path.display()));
        assert_eq!(
            text.matches(from).count(),
            1,
            "{} in {}",
            from,
            path.display()
        );
        *text = text.replace(from, to);
    }

    pub(super) fn write(&self, folder: &Path) {
        for (path, text) in &self.files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("a file lies in a folder"))
                .expect("the folder can be written to");
            fs::write(path, text).expect("the folder can be written to");
        }
    }
}
