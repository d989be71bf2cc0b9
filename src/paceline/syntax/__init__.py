"""What source code is made of: languages, trees, where a cursor stands, statements, blocks, symbols.

tree-sitter where a grammar is installed; indentation and brackets for every other language. Offsets are code points.
"""
