//! All keys of a bucket in, one page of a listing out.

use std::collections::BTreeSet;

use object_store::ObjectMeta;

/// S3 never lists more at a time.
const LONGEST_PAGE: usize = 1000;

/// What a client asks for.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    pub(super) prefix: &'a str,
    /// Keys that contain it after the prefix are folded into common prefixes; empty: nothing is folded.
    pub(super) delimiter: &'a str,
    /// Only keys after this one: the last of the page before, or the client's `start-after`.
    pub(super) after: &'a str,
    pub(super) most: Option<usize>,
}

/// A page, in the order of the keys.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// (key without the bucket, object)
    pub(super) objects: Vec<(String, ObjectMeta)>,
    pub(super) common_prefixes: BTreeSet<String>,
    /// Where the next page begins; `None`: this is the last.
    pub(super) next: Option<String>,
}

/// Cuts a page out of `objects`, whose keys come without the bucket and in any order.
pub(super) fn page(mut objects: Vec<(String, ObjectMeta)>, wanted: &Wanted<'_>) -> Page {
    let most = wanted.most.unwrap_or(LONGEST_PAGE).min(LONGEST_PAGE);
    objects.sort_by(|one, other| one.0.cmp(&other.0));
    let mut page = Page::default();
    let mut last = None;
    for (key, object) in objects {
        let Some(rest) = key.strip_prefix(wanted.prefix) else {
            continue;
        };
        let folded = folded(&key, rest, wanted.delimiter);
        let name = folded.clone().unwrap_or_else(|| key.clone());
        if name.as_str() <= wanted.after || page.common_prefixes.contains(&name) {
            continue;
        }
        if page.objects.len() + page.common_prefixes.len() == most {
            page.next = last;
            return page;
        }
        match folded {
            Some(prefix) => {
                page.common_prefixes.insert(prefix);
            }
            None => page.objects.push((key, object)),
        }
        last = Some(name);
    }
    page
}

fn folded(key: &str, rest: &str, delimiter: &str) -> Option<String> {
    if delimiter.is_empty() {
        return None;
    }
    let end = rest.find(delimiter)? + delimiter.len();
    Some(key[..key.len() - rest.len() + end].to_owned())
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use object_store::path::Path;

    use super::*;

    fn objects(keys: &[&str]) -> Vec<(String, ObjectMeta)> {
        let object = |key: &str| ObjectMeta {
            location: Path::from(key),
            last_modified: Utc::now(),
            size: 1,
            e_tag: None,
            version: None,
        };
        keys.iter()
            .map(|key| ((*key).to_owned(), object(key)))
            .collect()
    }

    fn keys(page: &Page) -> Vec<&str> {
        page.objects.iter().map(|(key, _)| key.as_str()).collect()
    }

    #[test]
    fn a_prefix_need_not_end_at_a_slash() {
        let page = page(
            objects(&["run/part-10", "run/part-1", "other/part-1"]),
            &Wanted {
                prefix: "run/part-1",
                ..Wanted::default()
            },
        );
        assert_eq!(keys(&page), ["run/part-1", "run/part-10"]);
    }

    #[test]
    fn a_delimiter_folds_deeper_keys_into_one_prefix() {
        let page = page(
            objects(&["a/x", "a/b/1", "a/b/2"]),
            &Wanted {
                prefix: "a/",
                delimiter: "/",
                ..Wanted::default()
            },
        );
        assert_eq!(keys(&page), ["a/x"]);
        assert_eq!(
            page.common_prefixes.into_iter().collect::<Vec<_>>(),
            ["a/b/"]
        );
    }

    #[test]
    fn pages_follow_one_another_without_a_gap_or_a_repeat() {
        let all = ["a/1", "a/2", "b", "c/1", "d"];
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let page = page(
                objects(&all),
                &Wanted {
                    delimiter: "/",
                    after: &after,
                    most: Some(1),
                    ..Wanted::default()
                },
            );
            seen.extend(keys(&page).into_iter().map(str::to_owned));
            seen.extend(page.common_prefixes);
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(seen, ["a/", "b", "c/", "d"]);
    }
}
