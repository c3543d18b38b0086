//! A JSON string as written in, its characters out.

/// An escape such as `\uD800` that is half a character: no text can hold it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LoneSurrogate;

/// Appends the characters that `written`, the inside of a string whose syntax was checked, stands for.
pub(super) fn unescape(written: &str, out: &mut String) -> Result<(), LoneSurrogate> {
    let mut rest = written;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let (character, after) = match escape.as_bytes()[0] {
            b'u' => code_point(&escape[1..])?,
            letter => (single(letter), &escape[1..]),
        };
        out.push(character);
        rest = after;
    }
    out.push_str(rest);
    Ok(())
}

fn single(letter: u8) -> char {
    match letter {
        b'b' => '\u{8}',
        b'f' => '\u{C}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        itself => char::from(itself),
    }
}

/// Reads what follows a `\u`: four digits, or a pair of surrogates.
fn code_point(text: &str) -> Result<(char, &str), LoneSurrogate> {
    let (first, rest) = unit(text);
    if let Some(character) = char::from_u32(first) {
        return Ok((character, rest));
    }
    let (second, rest) = rest.strip_prefix("\\u").map(unit).ok_or(LoneSurrogate)?;
    if first >= 0xDC00 || !(0xDC00..0xE000).contains(&second) {
        return Err(LoneSurrogate);
    }
    let character = char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00));
    Ok((
        character.expect("a pair of surrogates is a character"),
        rest,
    ))
}

fn unit(text: &str) -> (u32, &str) {
    let (digits, rest) = text.split_at(4);
    (
        u32::from_str_radix(digits, 16).expect("the scanner saw four hexadecimal digits"),
        rest,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_characters() {
        let table = [
            (r"", Some("")),
            (r"plain é 🎈", Some("plain é 🎈")),
            (r#"\"\\\/\b\f\n\r\t"#, Some("\"\\/\u{8}\u{C}\n\r\t")),
            (r"\u0041\u00e9\u00E9\u0000", Some("Aéé\0")),
            (r"\uD83C\uDF88!", Some("🎈!")),
            (r"\udbff\udfff", Some("\u{10FFFF}")),
            (r"\\uD800", Some("\\uD800")),
            (r"\uD800", None),
            (r"\uD800x", None),
            (r"\uD800\n", None),
            (r"\uD800\u0041", None),
            (r"\uD800\uD800", None),
            (r"\uDC00", None),
            (r"\uDC00\uD800", None),
            (r"\uDC00\uDC00", None),
        ];
        for (written, expected) in table {
            let mut out = String::new();
            let read = unescape(written, &mut out).map(|()| out.as_str());
            assert_eq!(read.ok(), expected, "{written}");
        }
    }
}
