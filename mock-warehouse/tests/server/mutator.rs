//! A request in, one that nobody would send out: bytes, values, words, headers and addresses changed, the same for the same seed.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use crate::support::Sent;

/// Pieces that have broken parsers before.
const PIECES: [&str; 28] = [
    "'",
    "\"",
    ";",
    "--",
    "/*",
    "$$",
    "\\",
    "\0",
    "\u{feff}",
    "\u{202e}",
    "é",
    "💥",
    "@",
    "(",
    ")",
    "[[[[[[[[",
    "{\"a\":",
    "}",
    "null",
    "-1",
    "1e999",
    "99999999999999999999999999999999999999999",
    "0x",
    "%00",
    "../",
    "::",
    "?",
    " ",
];

/// Values that fields of JSON bodies are not made for.
fn odd_value(random: &mut Random) -> Value {
    let odd = [
        json!(null),
        json!([]),
        json!({}),
        json!(-1),
        json!(1.5e300),
        json!(u64::MAX),
        json!(true),
        json!(""),
        json!("\0"),
        json!("x".repeat(2_000)),
        json!([[[[null]]]]),
        json!({"type": "FIXED", "value": "a"}),
        json!({"type": [], "value": {}}),
        json!("0"),
    ];
    odd[random.below(odd.len())].clone()
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }
}

/// Changes bytes: most bodies are no JSON afterwards.
fn mutate_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(20)).min(bytes.len());
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => bytes.insert(at, u8::try_from(random.below(256)).unwrap()),
            _ => {
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(at..at, piece.bytes());
            }
        }
    }
}

/// Changes a value somewhere in a JSON body.
fn mutate_value(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(members) if !members.is_empty() && !random.one_in(4) => {
            let at = random.below(members.len());
            let name = members.keys().nth(at).unwrap().clone();
            if random.one_in(4) {
                let moved = members.remove(&name).unwrap();
                members.insert(
                    format!("{name}{}", PIECES[random.below(PIECES.len())]),
                    moved,
                );
            } else {
                mutate_value(&mut members[&name], random);
            }
        }
        Value::Array(values) if !values.is_empty() && !random.one_in(4) => {
            let at = random.below(values.len());
            mutate_value(&mut values[at], random);
        }
        other => *other = odd_value(random),
    }
}

/// Changes words of the statement, so that the body still is a request.
fn mutate_statement(body: &mut Value, random: &mut Random) {
    let name = if body.get("sqlText").is_some() {
        "sqlText"
    } else {
        "statement"
    };
    let Some(statement) = body.get(name).and_then(Value::as_str) else {
        return;
    };
    let mut words: Vec<String> = statement.split(' ').map(str::to_owned).collect();
    for _ in 0..=random.below(2) {
        let (at, other) = (random.below(words.len()), random.below(words.len()));
        match random.below(4) {
            0 => drop(words.remove(at)),
            1 => words.swap(at, other),
            2 => words.insert(at, words[other].clone()),
            _ => words[at].push_str(PIECES[random.below(PIECES.len())]),
        }
        if words.is_empty() {
            break;
        }
    }
    body[name] = words.join(" ").into();
}

fn mutate_uri(uri: &mut String, random: &mut Random) {
    let extras = [
        "?requestId=",
        "&retry=true",
        "?async=maybe",
        "&partition=-1",
        "?partition=99999999999999999999",
        "/cancel",
        "%ff",
        "//",
        "/..",
        "?nullable=2",
        "&&&=",
        "/x",
        "?list-type=2&max-keys=-1",
        "?uploads",
        "?uploadId=x&partNumber=0",
        "?delete",
    ];
    if random.one_in(2) {
        uri.push_str(extras[random.below(extras.len())]);
    } else {
        let mut bytes = std::mem::take(uri).into_bytes();
        mutate_bytes(&mut bytes, random);
        *uri = String::from_utf8_lossy(&bytes).into_owned();
    }
}

fn mutate_headers(headers: &mut HeaderMap, random: &mut Random) {
    let names = [
        "authorization",
        "content-type",
        "content-encoding",
        "x-snowflake-authorization-token-type",
        "range",
        "x-amz-content-sha256",
        "x-amz-security-token",
        "x-amz-date",
        "host",
        "if-none-match",
    ];
    let values = [
        "",
        "application/json",
        "text/plain",
        "gzip",
        "Bearer x",
        "Bearer a.b.c",
        "Snowflake Token=\"\"",
        "bytes=9-1",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "UNSIGNED-PAYLOAD",
        "\u{e9}",
        "KEYPAIR_JWT",
        "*",
        "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
    ];
    let name = HeaderName::from_static(names[random.below(names.len())]);
    if random.one_in(3) {
        headers.remove(name);
    } else if let Ok(value) = HeaderValue::from_bytes(values[random.below(values.len())].as_bytes())
    {
        headers.insert(name, value);
    }
}

/// One of the corpus, changed. Few still reach the engine: those that do take longest.
pub(crate) fn mutated(corpus: &[Sent], random: &mut Random) -> Sent {
    let mut sent = corpus[random.below(corpus.len())].clone();
    if random.one_in(8) {
        mutate_headers(&mut sent.headers, random);
    }
    if random.one_in(6) {
        mutate_uri(&mut sent.uri, random);
    }
    if random.one_in(20) {
        let methods = [
            Method::GET,
            Method::PUT,
            Method::POST,
            Method::DELETE,
            Method::HEAD,
            Method::PATCH,
            Method::OPTIONS,
        ];
        sent.method = methods[random.below(methods.len())].clone();
    }
    let parsed = serde_json::from_slice::<Value>(&sent.body);
    match (parsed, random.below(40)) {
        (Ok(mut body), 0) => {
            mutate_statement(&mut body, random);
            sent.body = body.to_string().into_bytes();
        }
        (Ok(mut body), 1..4) => {
            mutate_value(&mut body, random);
            sent.body = body.to_string().into_bytes();
        }
        _ => {
            mutate_bytes(&mut sent.body, random);
            // Bodies that are JSON by luck reach the engine in small numbers anyway.
            if serde_json::from_slice::<Value>(&sent.body).is_ok() && !random.one_in(8) {
                sent.body.truncate(random.below(sent.body.len()));
            }
        }
    }
    sent
}
