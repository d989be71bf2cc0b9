"""What source code is made of: languages, trees, where a cursor stands, statements, symbols. Offsets are code points.

    languages   what a document is written in: comments, quotes, blocks
    tree        its syntax tree by tree-sitter, incrementally, or None     (grammars, offsets, window)
    reader      what is open after some text, read lexically               (lexemes, headers, frames)
    scan        line ends of a candidate: complete or not, how deep        for rules that end completions
    place       where a cursor stands                                      (place_grammar confirms)
    symbols     what a file defines and imports                            (nodes, imports, scopes, uses, outlines)

tree-sitter where a grammar is installed; indentation and brackets for every other language.
"""
