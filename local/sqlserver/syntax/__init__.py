"""Transact-SQL as far as this server knows it: lexer, syntax tree, recursive descent parser.

What the parser does not know is a syntax error or an explicit refusal, never a guess.
"""
