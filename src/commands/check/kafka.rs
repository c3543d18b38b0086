//! The brokers, how to speak to them, and the topics.

use super::report::{Report, Trouble};
use super::topics::{self, Misfit};
use crate::broker::{Admin, Kafka, Obstacle, TopicSpec, connects};
use crate::commands::tables;
use crate::config::{Config, Properties};
use crate::sql::Pipeline;

/// Where librdkafka's settings stand in the configuration.
const PROPERTIES: &str = "[kafka.properties]";

pub(super) fn check(
    report: &mut Report,
    config: &Config,
    pipeline: Option<&Pipeline>,
    program: &str,
) {
    let kafka = Kafka::new((&config.kafka).into());
    let (servers, properties) = (kafka.servers().to_owned(), &config.kafka.properties);
    let specs = pipeline.map(|pipeline| tables::topics(config, pipeline));
    let names: Vec<String> = specs.iter().flatten().map(topic_line).collect();
    let stop = |report: &mut Report, from: &[&str], because: &str| {
        for name in from.iter().copied().chain(names.iter().map(String::as_str)) {
            report.skip(name, format!("needs {because}"));
        }
    };
    if !report.add("kafka broker", listening(&servers)) {
        return stop(
            report,
            &["kafka security", "kafka listeners"],
            "kafka broker",
        );
    }
    let cluster = match kafka.probe() {
        Ok(cluster) => cluster,
        Err(obstacle) => {
            let trouble = security_trouble(&obstacle, &servers, properties);
            report.add("kafka security", Err(trouble));
            return stop(report, &["kafka listeners"], "kafka security");
        }
    };
    report.add("kafka security", Ok(spoken(properties)));
    if !report.add("kafka listeners", advertised(&cluster.brokers)) {
        return stop(report, &[], "kafka listeners");
    }
    let Some(specs) = specs else {
        return report.skip("topics", "needs pipeline");
    };
    let admin = match Admin::connect(&kafka) {
        Ok(admin) => admin,
        Err(error) => {
            report.add("topics", Err(Trouble::of(error)));
            return;
        }
    };
    let topics = Topics {
        admin,
        servers,
        principal: principal(properties),
        secured: protocol(properties) != "PLAINTEXT",
        config,
        program,
    };
    topics.check(report, &specs);
}

fn topic_line(topic: &TopicSpec) -> String {
    format!("topic {}", topic.name)
}

/// Whether anybody listens at one of the servers at least: librdkafka starts from any of them.
fn listening(servers: &str) -> Result<String, Trouble> {
    let tried = connects(servers);
    if tried.iter().any(|(_, outcome)| outcome.is_ok()) {
        return Ok(format!("somebody listens at {servers}"));
    }
    let reasons: Vec<String> = tried
        .iter()
        .filter_map(|(server, outcome)| Some(format!("{server}: {}", outcome.as_ref().err()?)))
        .collect();
    Err(Trouble::new(
        format!("nobody can be connected to at {}", reasons.join("; ")),
        "[kafka] bootstrap_servers = \"<host>:<port>\"",
    )
    .or(format!(
        "start the broker that is to listen at {servers}, and open the network's way to it"
    )))
}

fn advertised(brokers: &[String]) -> Result<String, Trouble> {
    let list = brokers.join(",");
    let away: Vec<String> = connects(&list)
        .into_iter()
        .filter_map(|(broker, outcome)| Some(format!("{broker}: {}", outcome.err()?)))
        .collect();
    if away.is_empty() {
        return Ok(format!("the cluster's brokers can be connected to: {list}"));
    }
    Err(Trouble::new(
        format!(
            "the cluster says that its brokers are at {list}, and they cannot be connected to there: {}",
            away.join("; ")
        ),
        "in the broker's server.properties: advertised.listeners=<listener>://<host that this machine reaches>:<port>",
    ))
}

fn protocol(properties: &Properties) -> String {
    properties
        .get("security.protocol")
        .unwrap_or("PLAINTEXT")
        .to_ascii_uppercase()
}

fn user(properties: &Properties) -> &str {
    properties.get("sasl.username").unwrap_or("<user>")
}

/// What a broker's ACLs call the client.
fn principal(properties: &Properties) -> String {
    let protocol = protocol(properties);
    match protocol.as_str() {
        "SSL" => "User:<subject of the client's certificate>".to_owned(),
        signed if signed.starts_with("SASL") => format!("User:{}", user(properties)),
        _ => "User:ANONYMOUS".to_owned(),
    }
}

fn mechanism(properties: &Properties) -> &str {
    properties
        .get("sasl.mechanism")
        .or_else(|| properties.get("sasl.mechanisms"))
        .unwrap_or("SCRAM-SHA-512")
}

fn spoken(properties: &Properties) -> String {
    let protocol = protocol(properties);
    match protocol.starts_with("SASL") {
        true => format!(
            "{protocol}, signed in as {} by {}",
            user(properties),
            mechanism(properties)
        ),
        false => protocol,
    }
}

fn security_trouble(obstacle: &Obstacle, servers: &str, properties: &Properties) -> Trouble {
    let protocol = protocol(properties);
    let signs_in = protocol.starts_with("SASL");
    let set = |name: &str, value: &str| format!("{PROPERTIES} \"{name}\" = \"{value}\"");
    match obstacle {
        Obstacle::Setting { name, message } => Trouble::new(
            format!("librdkafka does not take the settings: {message}"),
            match name {
                Some(name) => set(name, "<value>"),
                None => format!("correct them under {PROPERTIES}"),
            },
        )
        .or("librdkafka's CONFIGURATION.md has the names and values that it takes"),
        Obstacle::NeedsTls => Trouble::new(
            format!("the listener at {servers} wants TLS and is spoken to in {protocol}"),
            set(
                "security.protocol",
                if signs_in { "SASL_SSL" } else { "SSL" },
            ),
        ),
        Obstacle::SpeaksPlain => Trouble::new(
            format!("the listener at {servers} speaks no TLS and is spoken to in {protocol}"),
            set(
                "security.protocol",
                if signs_in {
                    "SASL_PLAINTEXT"
                } else {
                    "PLAINTEXT"
                },
            ),
        ),
        Obstacle::NeedsSasl => sign_in_trouble(servers, &protocol),
        Obstacle::Untrusted(message) => Trouble::new(
            format!("the certificate of the broker at {servers} is not trusted: {message}"),
            set(
                "ssl.ca.location",
                "<file with the certificate of the broker's authority>",
            ),
        )
        .or("connect by a name that stands in the broker's certificate"),
        Obstacle::ClientCertificate(message) => Trouble::new(
            format!("the broker at {servers} wants a certificate of this client: {message}"),
            format!(
                "{PROPERTIES} \"ssl.certificate.location\" = \"<file with a certificate that the broker's authority signed>\", \
                 \"ssl.key.location\" = \"<file with its key>\""
            ),
        ),
        Obstacle::Mechanism(known) => Trouble::new(
            format!(
                "the broker at {servers} does not know the mechanism {}, but {known}",
                mechanism(properties)
            ),
            set(
                "sasl.mechanism",
                known.split(',').next().unwrap_or(known).trim(),
            ),
        ),
        Obstacle::Credentials => credentials_trouble(servers, properties),
        Obstacle::Other(message) => Trouble::new(
            format!("the broker at {servers} can be connected to and does not answer: {message}"),
            format!(
                "look into the broker's log; the settings of TLS and SASL stand under {PROPERTIES}"
            ),
        ),
    }
}

fn sign_in_trouble(servers: &str, protocol: &str) -> Trouble {
    let signed = match protocol {
        "SSL" => "SASL_SSL",
        _ => "SASL_PLAINTEXT",
    };
    Trouble::new(
        format!(
            "the listener at {servers} closes the connection after the first question, in {protocol}: it wants a SASL sign-in"
        ),
        format!(
            "{PROPERTIES} \"security.protocol\" = \"{signed}\", \"sasl.mechanism\" = \"SCRAM-SHA-512\", \"sasl.username\" = \
             \"<user>\"; SLUICEBOX_KAFKA__PROPERTIES__SASL_PASSWORD in the environment"
        ),
    )
}

fn credentials_trouble(servers: &str, properties: &Properties) -> Trouble {
    let (user, mechanism) = (user(properties), mechanism(properties));
    let trouble = Trouble::new(
        format!("the broker at {servers} refuses the password of {user} ({mechanism})"),
        format!("export SLUICEBOX_KAFKA__PROPERTIES__SASL_PASSWORD='<password of {user}>'"),
    );
    match mechanism.starts_with("SCRAM") {
        true => trouble.or(format!(
            "kafka-configs.sh --bootstrap-server {servers} --command-config admin.properties --alter --entity-type users \
             --entity-name {user} --add-config '{mechanism}=[password=<password>]'"
        )),
        false => trouble,
    }
}

/// Where topics are looked at.
struct Topics<'a> {
    admin: Admin,
    servers: String,
    /// Who the broker takes the service for.
    principal: String,
    secured: bool,
    config: &'a Config,
    program: &'a str,
}

impl Topics<'_> {
    fn check(&self, report: &mut Report, specs: &[TopicSpec]) {
        for topic in specs {
            self.check_one(report, topic);
        }
    }

    fn check_one(&self, report: &mut Report, topic: &TopicSpec) {
        let name = topic_line(topic);
        let partitions = match self.admin.partitions(&topic.name) {
            Ok(Some(partitions)) => partitions,
            Ok(None) => {
                let fix = format!("{} setup kafka", self.program);
                // A broker answers alike for a topic that is not there and for one that a client may not see.
                let trouble = Trouble::new("it does not exist", fix)
                    .or(self.permission("Describe", &topic.name));
                report.add(name, Err(trouble));
                return;
            }
            Err(error) => {
                report.add(name, Err(Trouble::of(error)));
                return;
            }
        };
        let settings = match self.admin.settings_in_force(&topic.name) {
            Ok(settings) => settings,
            Err(error) => {
                let unseen = Trouble::of(error);
                let fix = self.permission("DescribeConfigs", &topic.name);
                let found = format!("its settings cannot be seen: {}", unseen.found);
                return report.warn(name, Trouble::new(found, fix));
            }
        };
        let misfits = topics::misfits(topic, &settings);
        if !misfits.is_empty() {
            report.add(name, Err(self.trouble(topic, &misfits)));
            return;
        }
        let window = self.config.clean.duplicate_window_time;
        let is_raw = topic.name == self.config.topics.raw;
        match topics::forgets_early(&settings, window).filter(|_| is_raw) {
            Some(misfit) => report.warn(name, self.trouble(topic, &[misfit])),
            None => {
                report.add(name, Ok(format!("{partitions} partitions")));
            }
        }
    }

    /// The command that lets the service do something with a topic, where there are ACLs.
    fn permission(&self, operation: &str, topic: &str) -> String {
        let Self {
            servers, principal, ..
        } = self;
        let as_administrator = match self.secured {
            true => " --command-config admin.properties",
            false => "",
        };
        format!(
            "kafka-acls.sh --bootstrap-server {servers}{as_administrator} --add --allow-principal '{principal}' \
             --operation {operation} --topic {topic}"
        )
    }

    fn trouble(&self, topic: &TopicSpec, misfits: &[Misfit]) -> Trouble {
        let problems: Vec<&str> = misfits
            .iter()
            .map(|misfit| misfit.problem.as_str())
            .collect();
        Trouble::new(
            problems.join("; "),
            topics::alteration(&self.servers, self.secured, &topic.name, misfits),
        )
    }
}
