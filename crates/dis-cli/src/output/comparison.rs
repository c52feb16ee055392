//! Tables and numbers of `dis bench`.

/// Columns in line, the first flushed left; names are shortened if the lines would be too long.
pub fn align(rows: &[Vec<String>], width: usize) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let length = |text: &String| text.chars().count();
    let mut widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| length(&row[column])).max().unwrap_or(0)).collect();
    let total = widths.iter().map(|width| width + 2).sum::<usize>();
    if let Some(first) = widths.first_mut() {
        *first = (*first).saturating_sub(total.saturating_sub(width)).max(8.min(*first));
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let cell: String = match length(cell) > width {
                true => cell.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
                false => cell.clone(),
            };
            match column {
                0 => line.push_str(&format!("  {cell:<width$}")),
                _ => line.push_str(&format!("  {cell:>width$}")),
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// `12.3x`.
pub fn ratio(ratio: f64) -> String {
    match ratio {
        r if r < 9.95 => format!("{r:.2}x"),
        r => format!("{r:.0}x"),
    }
}

/// Three digits in the unit that suits.
pub fn time(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..999_500 => (ns as f64 / 1e3, "µs"),
        999_500..999_500_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    match value {
        v if v < 9.995 => format!("{v:.2} {unit}"),
        v if v < 99.95 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_give_way() {
        let rows = [vec!["a-task-with-a-long-name".to_string(), "1 s".to_string()]];
        assert_eq!(align(&rows, 20), "  a-task-with-…  1 s\n");
    }
}
