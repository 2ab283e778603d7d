//! What somebody most likely meant by a name that does not exist.

/// The nearest of `known` to `name`: at most two letters apart, fewer for short names.
pub fn likely<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.len() / 3).clamp(1, 2);
    known
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `; did you mean "x"?`, or nothing.
pub fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    likely(name, known).map_or_else(String::new, |x| format!("; did you mean \"{x}\"?"))
}

/// Letters to insert, delete, replace, or swap with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX; // no name of ours is that long, and the work is a.len() times b.len()
    }
    let mut rows = [
        vec![0; b.len() + 1],
        (0..=b.len()).collect(),
        vec![0; b.len() + 1],
    ];
    for i in 1..=a.len() {
        let [before, last, row] = &mut rows;
        row[0] = i;
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}

/// The names `source` reads from a table called `table`: the `x` of `table.x`, with `table` possibly at the
/// end of a longer path.
pub fn members<'a>(source: &'a str, table: &str) -> impl Iterator<Item = &'a str> {
    let dotted = format!("{table}.");
    let starts: Vec<usize> = source
        .match_indices(&dotted)
        .map(|(at, found)| at + found.len())
        .collect();
    let before = move |start: usize| source[..start - dotted.len()].bytes().next_back();
    starts.into_iter().filter_map(move |start| {
        if before(start).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return None;
        }
        let rest = &source[start..];
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        (end > 0).then(|| &rest[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["title", "description", "author", "dependencies"];

        assert_eq!(likely("dependecies", known), Some("dependencies"));
        assert_eq!(likely("auhtor", known), Some("author"));
        assert_eq!(likely("titel", known), Some("title"));
        assert_eq!(likely("version", known), None);
        assert_eq!(likely("title", known), None);
    }

    #[test]
    fn members_are_those_of_this_table() {
        let source =
            "a = consts.alert_types.one, my_alert_types.two, alert_types.three.four, alert_types.";

        assert_eq!(
            members(source, "alert_types").collect::<Vec<_>>(),
            ["one", "three"]
        );
    }
}
