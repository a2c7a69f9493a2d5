//! Lines of cells, aligned by elastic tab stops.
//!
//! A cell ends at a tab stop; cells of the same column in lines that follow each other form a block and are made as wide as
//! the widest of them. What follows the last tab stop of a line has no column. A hard line end closes every block.

/// Tab stops stand at multiples of this, as far as tabs are written at all.
const TAB: usize = 8;

/// Collects lines and aligns them when they are complete.
#[derive(Default)]
pub(super) struct Layout {
    lines: Vec<Line>,
    line: Line,
    blocks: Vec<Block>,
    /// The block of each column that the next line can continue.
    open: Vec<usize>,
}

#[derive(Default)]
struct Line {
    cells: Vec<Cell>,
    tail: Piece,
}

struct Cell {
    piece: Piece,
    width: usize,
    block: usize,
}

#[derive(Default)]
struct Piece {
    text: String,
    /// So much of the text stays even if it is blank and at the end of the line.
    kept: usize,
}

/// Cells of one column in lines that follow each other.
#[derive(Default)]
struct Block {
    width: usize,
    /// Some cell has text, or is there to indent.
    used: bool,
}

// === impl Layout ===

impl Layout {
    /// Nothing stands on the current line yet.
    pub fn at_line_start(&self) -> bool {
        self.line.cells.is_empty() && self.line.tail.text.is_empty()
    }

    /// The number of lines that are complete.
    pub fn line_number(&self) -> usize {
        self.lines.len()
    }

    /// Text that stays as it is; a line feed in it belongs to the text.
    pub fn text(&mut self, text: &str) {
        self.line.tail.text.push_str(text);
        self.line.tail.kept = self.line.tail.text.len();
    }

    /// One blank, unless the line ends here.
    pub fn blank(&mut self) {
        self.line.tail.text.push(' ');
    }

    /// A tab stop. An empty column of soft ones takes no room.
    pub fn tab_stop(&mut self, hard: bool) {
        let piece = std::mem::take(&mut self.line.tail);
        let width = piece.text.chars().count();
        let column = self.line.cells.len();
        if column == self.open.len() {
            self.open.push(self.blocks.len());
            self.blocks.push(Block::default());
        }
        let block = &mut self.blocks[self.open[column]];
        block.width = block.width.max(width + 1);
        block.used |= hard || width > 0;
        self.line.cells.push(Cell { piece, width, block: self.open[column] });
    }

    /// A line end; a hard one ends every column.
    pub fn line_end(&mut self, hard: bool) {
        let columns = if hard { 0 } else { self.line.cells.len() };
        self.open.truncate(columns);
        self.lines.push(std::mem::take(&mut self.line));
    }

    /// All lines, aligned, the last one ended like the others.
    pub fn finish(mut self) -> String {
        self.line_end(true);
        let mut output = String::new();
        for line in &self.lines {
            line.draw(&self.blocks, &mut output);
            output.push('\n');
        }
        output
    }
}

// === impl Line ===

impl Line {
    fn draw(&self, blocks: &[Block], output: &mut String) {
        let mut kept = output.len();
        let mut indenting = true;
        for cell in &self.cells {
            cell.piece.draw(output, &mut kept);
            indenting &= cell.piece.text.is_empty();
            let width = if blocks[cell.block].used { blocks[cell.block].width } else { 0 };
            let (padding, count) =
                if indenting { ('\t', width.div_ceil(TAB)) } else { (' ', width.saturating_sub(cell.width)) };
            output.extend(std::iter::repeat_n(padding, count));
        }
        self.tail.draw(output, &mut kept);
        let end = output.trim_end_matches([' ', '\t']).len().max(kept);
        output.truncate(end);
    }
}

// === impl Piece ===

impl Piece {
    fn draw(&self, output: &mut String, kept: &mut usize) {
        if self.kept > 0 {
            *kept = output.len() + self.kept;
        }
        output.push_str(&self.text);
    }
}
