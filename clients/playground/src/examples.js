// Starters for the examples menu. The caret ‸ marks the cursor.

const CARET = "‸";

const EXAMPLES = [
  {
    title: "A class with a half-written method",
    text: `class Thermometer:
    """Keeps temperature readings and answers questions about them."""

    def __init__(self, name):
        self.name = name
        self.readings = []

    def add(self, celsius):
        self.readings.append(celsius)

    def average(self):
        if not self.readings:
            return None
        ‸

    def hottest(self):
        return max(self.readings)
`,
  },
  {
    title: "A hole in the middle of a function",
    text: `import csv


def total_by_city(path):
    """Add up the "amount" column for each value of the "city" column."""
    totals = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            city = row["city"]
            ‸
    return totals
`,
  },
  {
    title: "A command-line script",
    text: `import argparse
from pathlib import Path


def count_lines(path):
    with open(path) as file:
        return sum(1 for _ in file)


def main():
    parser = argparse.ArgumentParser(description="Count the lines of text files.")
    parser.add_argument("paths", nargs="+", type=Path)
    ‸


if __name__ == "__main__":
    main()
`,
  },
  {
    title: "Tests for a small function",
    text: `import unittest


def slug(title):
    return "-".join(title.lower().split())


class SlugTest(unittest.TestCase):
    def test_spaces_become_dashes(self):
        self.assertEqual(slug("Hello big world"), "hello-big-world")

    def test_empty_title(self):
        self.‸
`,
  },
];

/** Each example as its title, its text and the offset of the cursor in it. */
export const examples = EXAMPLES.map(({ title, text }) => ({
  title,
  text: text.replace(CARET, ""),
  offset: text.indexOf(CARET),
}));
