//! Plain aligned columns.

/// How a cell is to be shown on a terminal with colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tone {
    #[default]
    Plain,
    Head,
    Good,
    Bad,
    Dim,
}

impl Tone {
    pub fn paint(self, text: &str, colour: bool) -> String {
        let code = match self {
            Tone::Plain => return text.to_string(),
            Tone::Head => "1",
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Dim => "2",
        };
        if colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// Rows of cells; the first columns are text and flushed left, all others are numbers and flushed right.
pub(super) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<(String, Tone)>>,
    /// Columns that may be left out when space is short, the least needed first.
    optional: Vec<&'static str>,
    /// How many of the first columns are flushed left.
    left: usize,
}

impl Table {
    pub fn new<S: ToString>(head: &[S], left: usize, optional: &[&'static str]) -> Self {
        Self { head: head.iter().map(S::to_string).collect(), rows: Vec::new(), optional: optional.to_vec(), left }
    }

    pub fn row(&mut self, cells: Vec<(String, Tone)>) {
        debug_assert_eq!(cells.len(), self.head.len());
        self.rows.push(cells);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn widths(&self) -> Vec<usize> {
        let length = |text: &str| text.chars().count();
        (0..self.head.len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| row.get(column).map_or(0, |cell| length(&cell.0)));
                cells.max().unwrap_or(0).max(length(&self.head[column]))
            })
            .collect()
    }

    fn drop_column(&mut self, name: &str) {
        if let Some(column) = self.head.iter().position(|head| *head == name) {
            self.head.remove(column);
            self.rows.iter_mut().for_each(|row| drop(row.remove(column)));
        }
    }

    /// Appends the table to `out`, leaving out optional columns until it fits into `width`. Names that are still too
    /// long are shortened in the middle.
    pub fn print(mut self, out: &mut String, colour: bool, width: usize) {
        let total = |widths: &[usize]| widths.iter().sum::<usize>() + 2 * widths.len();
        for name in std::mem::take(&mut self.optional) {
            if total(&self.widths()) <= width {
                break;
            }
            self.drop_column(name);
        }
        let mut widths = self.widths();
        let over = total(&widths).saturating_sub(width);
        if let Some(first) = widths.first_mut() {
            *first = (*first).min(first.saturating_sub(over).max(12));
        }
        let head: Vec<_> = self.head.iter().map(|name| (name.clone(), Tone::Head)).collect();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            for (column, (text, tone)) in row.iter().enumerate() {
                let text = middle_out(text, widths[column]);
                let pad = " ".repeat(widths[column].saturating_sub(text.chars().count()));
                let text = tone.paint(&text, colour);
                line.push_str("  ");
                match column < self.left {
                    true => line.extend([text, pad]),
                    false => line.extend([pad, text]),
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
}

/// `text` in at most `width` characters.
fn middle_out(text: &str, width: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= width || width < 3 {
        return text.to_string();
    }
    let (front, back) = ((width - 1).div_ceil(2), (width - 1) / 2);
    chars[..front].iter().chain(['…'].iter()).chain(&chars[chars.len() - back..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_give_way_before_names() {
        let table = || {
            let mut table = Table::new(&["task", "jobs", "spare"], 1, &["spare"]);
            let cell = |text: &str| (text.to_string(), Tone::Plain);
            table.row(vec![cell("a-task-with-a-long-name"), cell("7"), cell("9")]);
            table
        };
        let print = |width| {
            let mut out = String::new();
            table().print(&mut out, false, width);
            out
        };
        assert_eq!(print(80), "  task                     jobs  spare\n  a-task-with-a-long-name     7      9\n");
        assert_eq!(print(32), "  task                     jobs\n  a-task-with-a-long-name     7\n");
        assert_eq!(print(25), "  task               jobs\n  a-task-w…ong-name     7\n");
        assert_eq!(print(0).lines().count(), 2);
    }
}
