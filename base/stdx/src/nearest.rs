//! "Did you mean …": the known name nearest to one that is not known.

/// Longer words are nobody's typing error, and comparing them would cost.
const MAX_LENGTH: usize = 64;

/// The candidate that differs from `word` by the fewest typing errors (a letter missing, added, wrong, or two swapped),
/// if they are few for its length: one in a short word, a third of a longer one. Letter case and `-` for `_` count little.
/// Among equals the first candidate wins.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let wanted = normal(word);
    if wanted.is_empty() || wanted.len() > MAX_LENGTH {
        return None;
    }
    let limit = (wanted.len() / 3).clamp(1, 4);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let known = normal(candidate);
        if candidate == word || known.len() > MAX_LENGTH || known.len().abs_diff(wanted.len()) > limit {
            continue;
        }
        let distance = distance(&wanted, &known);
        // A word with every letter wrong is no typing error, however short it is.
        if distance <= limit && distance < wanted.len() && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn normal(word: &str) -> Vec<char> {
    word.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Damerau-Levenshtein, restricted to swaps of neighbours.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, r) in right.iter().enumerate() {
            let mut least = (last[j] + usize::from(l != r)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *l == right[j - 1] && left[i - 1] == *r {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_recognised_and_other_words_are_not() {
        let names = ["targets", "forward_to", "scrape_interval", "scrape_timeout", "url", "regex", "labels"];
        for (word, expected) in [
            ("tragets", Some("targets")),
            ("target", Some("targets")),
            ("forward-to", Some("forward_to")),
            ("forwardTo", Some("forward_to")),
            ("scrape_intervall", Some("scrape_interval")),
            ("Regex", Some("regex")),
            ("uri", Some("url")),
            ("x", None),
            ("", None),
            ("password", None),
            ("targets", None),
        ] {
            assert_eq!(nearest(word, names), expected, "{word}");
        }
        assert_eq!(nearest("loki.fly", ["loki.write", "loki.echo"]), None);
        assert_eq!(nearest("loki.proces", ["loki.write", "loki.process"]), Some("loki.process"));
    }
}
