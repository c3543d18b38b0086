use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;

/// Keeps what is written; takes at most so many bytes.
#[derive(Clone)]
struct Reader {
    read: Arc<Mutex<Vec<u8>>>,
    wants: usize,
}

impl Reader {
    fn new(wants: usize) -> Self {
        Self {
            read: Arc::default(),
            wants,
        }
    }

    fn lines(&self) -> Vec<String> {
        let read = self.read.lock().unwrap();
        String::from_utf8(read.clone())
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut read = self.read.lock().unwrap();
        if read.len() >= self.wants {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        read.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn args(line: &str) -> GenerateArgs {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: GenerateArgs,
    }
    let words = ["generate", "--stdout"]
        .into_iter()
        .chain(line.split_whitespace());
    <Cli as clap::Parser>::parse_from(words).args
}

fn generate(line: &str, reader: &Reader, stop: &CancellationToken) -> Summary {
    let args = args(line);
    let output = Output::lines(Box::new(reader.clone()));
    Generator::new(&args, args.options().unwrap(), output)
        .run(stop)
        .unwrap()
}

#[test]
fn a_count_is_met_exactly_with_one_line_an_event() {
    let reader = Reader::new(usize::MAX);
    let summary = generate(
        "--count 5000 --seed 1 --now 2026-02-24T00:00:00Z",
        &reader,
        &CancellationToken::new(),
    );
    let options = args("--seed 1 --now 2026-02-24T00:00:00Z")
        .options()
        .unwrap();
    let expected: Vec<_> = Events::new(options)
        .take(5000)
        .map(|event| String::from_utf8(event.value).unwrap())
        .collect();
    assert!(reader.lines() == expected);
    assert_eq!((summary.sent, summary.failed), (5000, 0));
}

#[test]
fn no_events_are_a_whole_run_too() {
    let reader = Reader::new(usize::MAX);
    assert_eq!(
        generate("--count 0", &reader, &CancellationToken::new()).sent,
        0
    );
    assert!(reader.lines().is_empty());
}

#[test]
fn a_reader_that_goes_away_ends_the_run_quietly() {
    let reader = Reader::new(10_000);
    let summary = generate("--rate 0", &reader, &CancellationToken::new());
    assert!(reader.lines().len() > 10, "something was read");
    assert_eq!(summary.failed, 0);
}

#[test]
fn a_stopped_run_writes_out_what_it_has() {
    let (reader, stop) = (Reader::new(usize::MAX), CancellationToken::new());
    let running = {
        let (reader, stop) = (reader.clone(), stop.clone());
        std::thread::spawn(move || generate("--rate 1000", &reader, &stop))
    };
    while reader.lines().len() < 5 {
        std::thread::yield_now();
    }
    stop.cancel();
    let summary = running.join().unwrap();
    let lines = reader.lines();
    assert_eq!(u64::try_from(lines.len()).unwrap(), summary.sent);
    assert!(
        lines.iter().all(|line| line.ends_with('}')),
        "no line is cut"
    );
}

#[test]
fn a_duration_ends_the_run_at_its_rate() {
    let reader = Reader::new(usize::MAX);
    let summary = generate(
        "--rate 500 --duration 400ms",
        &reader,
        &CancellationToken::new(),
    );
    assert!((180..=201).contains(&summary.sent), "{summary}");
    assert!(summary.elapsed >= Duration::from_millis(400), "{summary}");
}

#[test]
fn a_summary_says_how_to_have_the_same_events_again() {
    let options = args("--seed 9 --now 2026-02-24T01:02:03.5Z")
        .options()
        .unwrap();
    let summary = Summary {
        sent: 3000,
        failed: 2,
        first_error: Some("Broker: Message size too large".to_owned()),
        elapsed: Duration::from_secs(2),
        options,
    };
    assert_eq!(
        summary.to_string(),
        "sent 3000 events in 2.0 s, 1500/s, 2 failed (the first: Broker: Message size too large); \
         again with --seed 9 --now 2026-02-24T01:02:03.500Z"
    );
}
