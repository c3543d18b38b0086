//! What is JSON, and which name is which.

use super::{Verdict, check, not_json, row, twice, wrong_type};

#[test]
fn what_is_no_json_object_is_refused() {
    let table: &[&[u8]] = &[
        b"",
        b" ",
        b"\n\t\r ",
        b"\xEF\xBB\xBF{}",
        b"\xFE\xFF\0{\0}",
        b"{\0}\0",
        b"null",
        b"true",
        b"1",
        b"\"text\"",
        b"[]",
        br#"[{"text":"a"}]"#,
        b"{",
        b"}",
        b"{}}",
        b"{}{}",
        b"{},",
        b"{} x",
        b"{}\0",
        b"{}\x0B",
        b"{}\xC2\xA0",
        br#"{"text"}"#,
        br#"{"text":}"#,
        br#"{"text" "a"}"#,
        br#"{"text":"a",}"#,
        br#"{,"text":"a"}"#,
        br#"{"text":"a",,"count":1}"#,
        br#"{"text":"a" "count":1}"#,
        br#"{"text":"a";"count":1}"#,
        br#"{"text"="a"}"#,
        br#"{"text"::"a"}"#,
        br#"{text:"a"}"#,
        br#"{'text':'a'}"#,
        br#"{"text":'a'}"#,
        br#"{1:"a"}"#,
        br#"{null:"a"}"#,
        br#"{"text":"a"//comment
        }"#,
        br#"{/* comment */"text":"a"}"#,
        br#"{"text":"a"#,
        br#"{"text":"a""#,
        br#"{"text":"a\"}"#,
        br#"{"text":"a\x"}"#,
        br#"{"text":"a\'"}"#,
        br#"{"text":"a\0"}"#,
        br#"{"text":"a\u12"}"#,
        br#"{"text":"a\u12G4"}"#,
        br#"{"text":"a\u+123"}"#,
        br#"{"text":"a\u{1F388}"}"#,
        br#"{"text":"a\U0041"}"#,
        b"{\"text\":\"a\\",
        b"{\"text\":\"a\\u",
        b"{\"text\":\"a\nb\"}",
        b"{\"text\":\"a\tb\"}",
        b"{\"text\":\"a\0b\"}",
        b"{\"text\":\"a\x1Fb\"}",
        b"{\"te\nxt\":\"a\"}",
        b"{\"text\":\"\xFF\"}",
        b"{\"text\":\"\xC0\x80\"}",
        b"{\"text\":\"\xC3\"}",
        b"{\"text\":\"\xED\xA0\x80\"}",
        b"{\"text\":\"\xF4\x90\x80\x80\"}",
        b"{\"text\":\"caf\xE9\"}",
        br#"{"text":tru}"#,
        br#"{"text":True}"#,
        br#"{"text":truee}"#,
        br#"{"text":nul}"#,
        br#"{"text":NULL}"#,
        br#"{"text":None}"#,
        br#"{"text":undefined}"#,
        br#"{"text":NaN}"#,
        br#"{"text":Infinity}"#,
        br#"{"text":-Infinity}"#,
        br#"{"text":-}"#,
        br#"{"text":+1}"#,
        br#"{"text":01}"#,
        br#"{"text":-01}"#,
        br#"{"text":00}"#,
        br#"{"text":.5}"#,
        br#"{"text":5.}"#,
        br#"{"text":5.e1}"#,
        br#"{"text":1e}"#,
        br#"{"text":1e+}"#,
        br#"{"text":1e1.5}"#,
        br#"{"text":1.2.3}"#,
        br#"{"text":0x1F}"#,
        br#"{"text":1_000}"#,
        br#"{"text":1,000}"#,
        br#"{"text":1 2}"#,
        br#"{"text":1f}"#,
        br#"{"text":--1}"#,
        br#"{"text":[1,]}"#,
        br#"{"text":[,1]}"#,
        br#"{"text":[1 2]}"#,
        br#"{"text":[1}"#,
        br#"{"text":[1}]"#,
        br#"{"text":{"a"}}"#,
        br#"{"text":{"a":1]}"#,
        br#"{"text":{"a":1,}}"#,
        br#"{"text":{"a":1,"b"}}"#,
        br#"{"text":[}"#,
        br#"{"text":["a":1]}"#,
    ];
    for event in table {
        check(&[(event, not_json())]);
        // The same in a field that is not declared.
        let undeclared = event.to_vec();
        if let Some(at) = undeclared.windows(4).position(|bytes| bytes == b"text") {
            let mut undeclared = undeclared;
            undeclared[at..at + 4].copy_from_slice(b"none");
            check(&[(&undeclared, not_json())]);
        }
    }
}

#[test]
fn an_object_is_read_whatever_its_layout() {
    check(&[
        (b"{}", row("")),
        (b" { } ", row("")),
        (
            b"\r\n\t {\r\n\t \"text\"\r\n\t :\r\n\t \"a\"\r\n\t ,\r\n\t \"count\" : 1 }\r\n\t ",
            row("text=a count=1"),
        ),
        (br#"{"count":1,"text":"a"}"#, row("text=a count=1")),
        (br#"{"none":[],"text":"a","nor":{}}"#, row("text=a")),
        (br#"{"":1,"text":"a"}"#, row("text=a")),
        (b"{\"text\":\"\x7F\"}", row("text=\x7F")),
        (
            "{\"text\":\"\u{FEFF}\u{2028}\"}".as_bytes(),
            row("text=\u{FEFF}\u{2028}"),
        ),
        (
            br#"{"none":{"a":[1,-0.5e-7,{"b":[[],{},"x\u0041\/"]},true,false,null]},"count":7}"#,
            row("count=7"),
        ),
    ]);
}

#[test]
fn nesting_goes_down_to_level_128() {
    let nested = |open: &str, inner: &str, close: &str, levels: usize| {
        format!(
            r#"{{"none":{}{inner}{}}}"#,
            open.repeat(levels),
            close.repeat(levels)
        )
    };
    let objects = |levels| nested(r#"{"a":"#, "1", "}", levels);
    let arrays = |levels| nested("[", "", "]", levels);
    let mixed = |levels: usize| nested(r#"[{"a":"#, "null", "}]", levels / 2);
    let in_text = nested("[", "", "]", 127).replace("none", "text");
    let too_deep_in_text = nested("[", "", "]", 128).replace("none", "text");
    check(&[
        (arrays(127).as_bytes(), row("")),
        (arrays(128).as_bytes(), not_json()),
        (objects(127).as_bytes(), row("")),
        (objects(128).as_bytes(), not_json()),
        (mixed(126).as_bytes(), row("")),
        (mixed(128).as_bytes(), not_json()),
        (
            in_text.as_bytes(),
            row(&format!("text={}{}", "[".repeat(127), "]".repeat(127))),
        ),
        (too_deep_in_text.as_bytes(), not_json()),
        (arrays(1_000_000).as_bytes(), not_json()),
        (
            format!(r#"{{"none":{}"#, "[".repeat(10_000_000)).as_bytes(),
            not_json(),
        ),
        (r#"{"a":"#.repeat(1_000_000).as_bytes(), not_json()),
        (
            format!(r#"{{"none":[{}1]}}"#, "[],{},".repeat(1000)).as_bytes(),
            row(""),
        ),
    ]);
}

#[test]
fn names_are_compared_by_character_and_case() {
    check(&[
        (br#"{"Text":"a","TEXT":"b"}"#, row("")),
        (
            br#"{"text ":"a"," text":"b","tex":"c","textt":"d"}"#,
            row(""),
        ),
        (br#"{"\u0074ext":"a"}"#, row("text=a")),
        (br#"{"\u0074\u0065\u0078\u0074":"a"}"#, row("text=a")),
        (br#"{"te\/xt":"a","te\u0000xt":"b"}"#, row("")),
        (br#"{"text\uD800":"a"}"#, row("")),
        (br#"{"\uD800":"a","\uDC00\uD800":"b"}"#, row("")),
        ("{\"tеxt\":\"a Cyrillic letter\"}".as_bytes(), row("")),
        (
            br#"{"none":{"text":"a","count":"b"},"list":[{"text":1}]}"#,
            row(""),
        ),
        (
            br#"{"is_valid":true,"invalid_field":"amount","count":1}"#,
            row("count=1"),
        ),
        (br#"{"_offset":7,"_key":"k","count":1}"#, row("count=1")),
    ]);
}

#[test]
fn a_declared_field_stands_once() {
    check(&[
        (br#"{"text":"a","text":"a"}"#, twice("text")),
        (br#"{"text":null,"text":null}"#, twice("text")),
        (br#"{"text":"a","\u0074ext":"b"}"#, twice("text")),
        (
            br#"{"count":1,"text":"a","count":2,"text":"b"}"#,
            twice("count"),
        ),
        (
            br#"{"count":1,"text":"a","text":"b","count":2}"#,
            twice("text"),
        ),
        (br#"{"count":1,"count":1,"count":1}"#, twice("count")),
        (br#"{"none":1,"none":2,"text":"a"}"#, row("text=a")),
        (
            br#"{"text":{"text":1,"text":2}}"#,
            row(r#"text={"text":1,"text":2}"#),
        ),
        (br#"{"none":{"a":1,"a":2}}"#, row("")),
    ]);
}

#[test]
fn of_several_reasons_the_first_in_rank_counts() {
    let table: &[(&[u8], Verdict)] = &[
        (br#"{"count":"x","count":"y","none":01}"#, not_json()),
        (br#"{"count":"x","count":"y"} x"#, not_json()),
        (b"{\"count\":\"x\",\"none\":\"\xFF\"}", not_json()),
        (br#"{"count":"x","text":"a","text":"b"}"#, twice("text")),
        (br#"{"text":"a","text":"b","count":"x"}"#, twice("text")),
        (br#"{"valid":1,"amount":"x"}"#, wrong_type("valid")),
        (br#"{"amount":"x","valid":1}"#, wrong_type("amount")),
        (
            br#"{"none":"\uD800","day":1,"text":"\uD800"}"#,
            wrong_type("day"),
        ),
    ];
    check(table);
}
