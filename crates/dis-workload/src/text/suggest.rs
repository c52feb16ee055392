//! Did you mean?

/// The word of `allowed` that `word` is most likely a misspelling of, as `; did you mean `x`?`, or nothing.
pub(crate) fn did_you_mean<'s>(word: &str, allowed: impl IntoIterator<Item = &'s str>) -> String {
    if word.len() > 64 {
        return String::new();
    }
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let wanted = plain(word);
    allowed
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        .filter(|&(distance, candidate)| distance <= (candidate.len().max(word.len()) / 3).max(1))
        .min_by_key(|&(distance, _)| distance)
        .map_or(String::new(), |(_, candidate)| format!("; did you mean `{candidate}`?"))
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn suggests_near_words_only() {
        let keys = ["period", "deadline", "cpu_min", "wcet"];
        assert_eq!(did_you_mean("perod", keys), "; did you mean `period`?");
        assert_eq!(did_you_mean("CPU-min", keys), "; did you mean `cpu_min`?");
        assert_eq!(did_you_mean("wect", keys), "; did you mean `wcet`?");
        assert_eq!(did_you_mean("colour", keys), "");
        assert_eq!(did_you_mean("", keys), "");
    }
}
