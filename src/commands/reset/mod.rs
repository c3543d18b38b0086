//! `sluicebox reset`: what to do when positions and topics, or topics and tables, no longer belong together. Each choice says what
//! it will do; only with `--yes` it does that. What was cut off is done again by the same command.

mod place;
mod step;

use std::time::{Duration, Instant};

use anyhow::bail;

use super::run::group;
use super::{failure, runtime, tables};
use crate::broker::{Admin, Group, Kafka, Logs, Partition};
use crate::config::Config;
use crate::sink::table::{Kind, TargetTable};
use crate::sql::Pipeline;
use crate::status::Job;
use crate::warehouse::{self, Client};
use place::To;
use step::{Step, Tools};

/// How much later than promised the broker may notice that a member is gone.
const LEAVE_LATER: Duration = Duration::from_secs(5);

/// Between two looks at a group.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Accept topics and tables as they are now, or rebuild from what is there.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Without --yes a reset only prints what it would do. With --yes every process of the pipeline has to be stopped. The
broker believes that after kafka.session_timeout, which is waited for.

  The raw topic was deleted and made again, or lost records before they were read:
      sluicebox reset clean --to earliest --yes
  A gold query has changed, or a gold topic is not to be trusted:
      sluicebox reset gold --truncate-tables --role ACCOUNTADMIN --yes
  A target table was replaced, or a topic that fills it was made again:
      sluicebox reset sink --to earliest --yes
  Begin anew with the raw topic:
      sluicebox reset all --truncate-tables --role ACCOUNTADMIN --yes")]
pub struct Args {
    #[command(subcommand)]
    choice: Choice,
    /// Do it; without this the plan is printed and nothing is changed
    #[arg(long, global = true)]
    yes: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Choice {
    /// Let the clean job go on elsewhere in the raw topic, and accept that topic as it is
    Clean {
        /// Where it goes on: earliest, latest, or an offset for each partition, e.g. 0=12,1=40
        #[arg(long, value_name = "PLACE")]
        to: To,
    },
    /// Count all gold tables anew from clean_events; they share the positions, so it is all of them
    Gold {
        #[command(flatten)]
        truncation: Truncation,
    },
    /// Let the sink go on elsewhere, and accept topics and target tables as they are
    Sink {
        /// The topic [default: clean_events and all gold topics]
        topic: Option<String>,
        /// Where it goes on: earliest, latest, or an offset for each partition, e.g. 0=12,1=40
        #[arg(long, value_name = "PLACE")]
        to: To,
    },
    /// Delete everything that was made of the raw topic, and begin anew with it
    All {
        #[command(flatten)]
        truncation: Truncation,
    },
}

/// Whether the rows of the tables go too.
#[derive(Debug, clap::Args)]
struct Truncation {
    /// Delete all rows of the tables that are filled anew. Without this clean events are there twice afterwards (`reset all`), and
    /// gold rows of keys that do not come again stay
    #[arg(long)]
    truncate_tables: bool,
    /// Role that may do that, e.g. ACCOUNTADMIN; the configured role otherwise
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
}

/// What a reset will do.
#[derive(Debug, Default)]
struct Plan {
    steps: Vec<Step>,
    /// What the one who asks for it should know.
    warnings: Vec<String>,
}

/// Prints the plan, and follows it when that is asked for.
///
/// # Errors
/// Processes that still work, or the first step that fails.
pub fn run(config: &Config, args: &Args) -> anyhow::Result<()> {
    let pipeline = Pipeline::load(&config.pipeline.folder, config.pipeline_settings())?;
    let kafka = Kafka::new((&config.kafka).into());
    let planner = Planner {
        config,
        targets: tables::targets(config, &pipeline)?,
        admin: Admin::connect(&kafka)?,
        logs: Logs::connect(&kafka)?,
        pipeline,
        kafka,
    };
    if args.yes {
        planner.refuse_members(&args.choice)?;
    }
    let plan = planner.plan(&args.choice)?;
    for warning in &plan.warnings {
        eprintln!("warning: {warning}");
    }
    let runtime = runtime()?;
    let needs_warehouse = plan.steps.iter().any(Step::is_for_the_warehouse);
    let client = if needs_warehouse && args.yes {
        config.require_warehouse()?;
        let settings = warehouse::Config::from(&config.warehouse);
        Some(Client::new(&settings, &settings.read_key()?)?)
    } else {
        None
    };
    let tools = Tools {
        kafka: &planner.kafka,
        warehouse: client.as_ref().map(|client| (client, &runtime)),
    };
    for step in &plan.steps {
        if args.yes {
            step.apply(&tools)?;
            failure::print_data(&format!("done: {step}"));
        } else {
            failure::print_data(&format!("would: {step}"));
        }
    }
    if !args.yes {
        eprintln!("nothing was changed; stop all processes of the pipeline and add --yes");
    }
    Ok(())
}

/// Makes plans.
struct Planner<'a> {
    config: &'a Config,
    pipeline: Pipeline,
    targets: Vec<TargetTable>,
    kafka: Kafka,
    admin: Admin,
    logs: Logs,
}

impl Planner<'_> {
    /// A member that still works would write into what is being reset.
    fn refuse_members(&self, choice: &Choice) -> anyhow::Result<()> {
        let jobs: &[Job] = match choice {
            Choice::Clean { .. } => &[Job::Clean],
            Choice::Gold { .. } => &[Job::Gold, Job::Sink],
            Choice::Sink { .. } => &[Job::Sink],
            Choice::All { .. } => &[Job::Clean, Job::Gold, Job::Sink],
        };
        // A static member does not take leave, so that it can come back.
        let deadline = Instant::now() + self.config.kafka.session_timeout + LEAVE_LATER;
        for job in jobs {
            let group = Group::new(&self.kafka, &group(self.config, *job));
            let mut members = group.members()?;
            if members > 0 {
                eprintln!(
                    "waiting for the {members} members of {} to leave",
                    group.name()
                );
            }
            while members > 0 && Instant::now() < deadline {
                std::thread::sleep(BETWEEN_LOOKS);
                members = group.members()?;
            }
            if members > 0 {
                bail!(
                    "the group {} has {members} members\nhint: stop every `sluicebox run` of this pipeline",
                    group.name()
                );
            }
        }
        Ok(())
    }

    fn plan(&self, choice: &Choice) -> anyhow::Result<Plan> {
        match choice {
            Choice::Clean { to } => self.clean(to),
            Choice::Gold { truncation } => self.gold(truncation),
            Choice::Sink { topic, to } => self.sink(topic.as_deref(), to),
            Choice::All { truncation } => self.all(truncation),
        }
    }

    fn clean(&self, to: &To) -> anyhow::Result<Plan> {
        let topics = &self.config.topics;
        let mut plan = Plan::default();
        if *to != To::Latest
            && (self.holds_records(&topics.clean)? || self.holds_records(&topics.rejected)?)
        {
            plan.warnings.push(format!(
                "{} and {} hold records: what is read again is written again, and then there twice; `sluicebox reset all` begins anew without that",
                topics.clean, topics.rejected
            ));
        }
        if *to != To::Earliest {
            plan.warnings.push(format!(
                "what {} holds before these offsets is skipped",
                topics.raw
            ));
        }
        plan.steps.push(self.positions(Job::Clean, to)?);
        Ok(plan)
    }

    fn gold(&self, truncation: &Truncation) -> anyhow::Result<Plan> {
        self.refuse_moved_keys()?;
        let mut plan = Plan::default();
        let beginning = self.positions(Job::Gold, &To::Earliest)?;
        plan.steps.extend(beginning.mark());
        let mut gold = Vec::new();
        for table in &self.pipeline.gold {
            gold.push(self.ends(&table.name)?);
        }
        let clean = &self.config.topics.clean;
        let targets = self.targets.iter();
        let targets: Vec<_> = targets.filter(|target| target.topic() != clean).collect();
        // A sink that was behind would miss what is deleted; its rows come again.
        self.refill(&targets, gold.concat(), truncation, &mut plan);
        let deletions = gold.into_iter().map(|before| Step::Delete { before });
        plan.steps.extend(deletions);
        plan.steps.extend(self.snapshots()?);
        if beginning.is_late() {
            plan.warnings.push(format!(
                "{clean} has lost its beginning: gold rows will count only what it still holds"
            ));
        }
        plan.steps.push(beginning);
        Ok(plan)
    }

    /// With another number of partitions later events of a key are in another one than earlier ones. To count clean_events anew
    /// would give that key two rows, each with a part of its events.
    fn refuse_moved_keys(&self) -> anyhow::Result<()> {
        let clean = &self.config.topics.clean;
        let gold = Group::new(&self.kafka, &group(self.config, Job::Gold));
        let now = self.admin.identity(clean)?;
        let Some(then) = gold.topic_then(&self.logs.partitions(clean)?)? else {
            return Ok(());
        };
        let is_the_same = (&then.cluster, &then.topic) == (&now.cluster, &now.topic);
        let (then, now) = (then.partitions, now.partitions);
        if is_the_same && then != now && self.holds_records(clean)? {
            bail!(
                "{clean} had {then} partitions and has {now}: a key's earlier and later events may be in different ones\nhint: `sluicebox reset all --truncate-tables` makes {clean} anew; give the gold topics {now} partitions too"
            );
        }
        Ok(())
    }

    fn sink(&self, topic: Option<&str>, to: &To) -> anyhow::Result<Plan> {
        let mut plan = Plan::default();
        let targets: Vec<&TargetTable> = self
            .targets
            .iter()
            .filter(|target| topic.is_none_or(|topic| target.topic() == topic))
            .collect();
        if targets.is_empty() {
            let known: Vec<&str> = self.targets.iter().map(TargetTable::topic).collect();
            bail!(
                "{} fills no table\nhint: the topics are {}",
                topic.unwrap_or_default(),
                known.join(", ")
            );
        }
        let (mut next, mut giving_way) = (Vec::new(), Vec::new());
        for target in targets {
            next.extend(to.of(&self.logs, target.topic())?);
            match target.kind() {
                Kind::Upsert { .. } => giving_way.push(target.name().to_owned()),
                Kind::Append if *to != To::Latest => plan.warnings.push(format!(
                    "rows that {} has already are appended once more, unless it is empty",
                    target.name()
                )),
                Kind::Append => {}
            }
        }
        plan.steps.push(Step::NextOffsets {
            control: tables::CONTROL.to_owned(),
            next,
            giving_way,
        });
        Ok(plan)
    }

    fn all(&self, truncation: &Truncation) -> anyhow::Result<Plan> {
        let topics = &self.config.topics;
        let mut plan = Plan::default();
        let raw = self.positions(Job::Clean, &To::Earliest)?;
        plan.steps.extend(raw.mark());
        let mut gold_positions = self.positions(Job::Gold, &To::Earliest)?;
        plan.steps.extend(gold_positions.mark());
        let clean = self.ends(&topics.clean)?;
        let mut loaded = vec![clean.clone()];
        for table in &self.pipeline.gold {
            loaded.push(self.ends(&table.name)?);
        }
        let targets: Vec<_> = self.targets.iter().collect();
        self.refill(&targets, loaded.concat(), truncation, &mut plan);
        loaded.push(self.ends(&topics.rejected)?);
        let deletions = loaded.into_iter().map(|before| Step::Delete { before });
        plan.steps.extend(deletions);
        plan.steps.extend(self.snapshots()?);
        if let Step::Positions { positions, .. } = &mut gold_positions {
            *positions = clean;
        }
        if raw.is_late() {
            plan.warnings.push(format!(
                "{} has lost its beginning: what is made anew is of what it still holds only",
                topics.raw
            ));
        }
        plan.steps.extend([gold_positions, raw]);
        Ok(plan)
    }

    /// The positions of a job in the topic that it reads, with that topic's identity.
    fn positions(&self, job: Job, to: &To) -> anyhow::Result<Step> {
        let topics = &self.config.topics;
        let topic = if job == Job::Clean {
            &topics.raw
        } else {
            &topics.clean
        };
        Ok(Step::Positions {
            group: group(self.config, job),
            positions: to.of(&self.logs, topic)?,
            identity: self.admin.identity(topic)?.to_string(),
        })
    }

    /// The ends of a topic, also behind transactions that nobody has ended yet: what they wrote goes too.
    fn ends(&self, topic: &str) -> anyhow::Result<Vec<(Partition, i64)>> {
        let partitions = self.logs.partitions(topic)?.into_iter();
        partitions
            .map(|at| {
                let end = self.logs.log(&at)?.end;
                Ok((at, end))
            })
            .collect()
    }

    fn holds_records(&self, topic: &str) -> anyhow::Result<bool> {
        let ranges = self.logs.ranges(topic)?;
        Ok(ranges.iter().any(|range| range.from < range.to))
    }

    /// The folders of this pipeline's tables in every slot of the state folder.
    fn snapshots(&self) -> anyhow::Result<Option<Step>> {
        let Ok(slots) = std::fs::read_dir(&self.config.state.folder) else {
            // No folder, no copies.
            return Ok(None);
        };
        let mut folders = Vec::new();
        for slot in slots {
            let gold = slot?.path().join("gold");
            let of_tables = self
                .pipeline
                .gold
                .iter()
                .map(|table| gold.join(&table.name));
            folders.extend(of_tables.filter(|folder| folder.is_dir()));
        }
        folders.sort();
        Ok((!folders.is_empty()).then_some(Step::Snapshots { folders }))
    }

    /// Lets the sink go on behind what its topics hold now, and tables be filled anew: emptied, or with rows that give way. First
    /// the fences rise, so that a load that is still under way does not come in between. A pipeline without a warehouse has no
    /// sink that could stand anywhere.
    fn refill(
        &self,
        targets: &[&TargetTable],
        next: Vec<(Partition, i64)>,
        truncation: &Truncation,
        plan: &mut Plan,
    ) {
        let mut giving_way = Vec::new();
        let mut truncations = Vec::new();
        for target in targets {
            let table = target.name().to_owned();
            if truncation.truncate_tables {
                let role = truncation.role.clone();
                truncations.push(Step::Truncate { table, role });
                continue;
            }
            plan.warnings.push(match target.kind() {
                Kind::Append => format!(
                    "without --truncate-tables {table} keeps its rows and gets all of them once more"
                ),
                Kind::Upsert { .. } => format!(
                    "without --truncate-tables {table} keeps the rows of keys that do not come again"
                ),
            });
            if matches!(target.kind(), Kind::Upsert { .. }) {
                giving_way.push(table);
            }
        }
        if self.config.warehouse.account.is_empty() {
            plan.warnings
                .push("no warehouse.account is set, so no control table is changed".to_owned());
        } else {
            plan.steps.push(Step::NextOffsets {
                control: tables::CONTROL.to_owned(),
                next,
                giving_way,
            });
        }
        plan.steps.extend(truncations);
    }
}
