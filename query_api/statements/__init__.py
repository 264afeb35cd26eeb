"""Customers' monthly statements that were issued: as JSON, CSV and PDF.

Owns: GET /finance/statements, /finance/statements/{number}, /user/statements and
/user/statements/{number}.
Keeps: P4: opening and lines make the closing. P10: lists have pages, a PDF has a maximum of lines.
Does not: issue one; that is `command_api/books`.
"""
