"""Matmul written five ways, as the NKI documentation's tutorial climbs them: known times to check a timing
model by.
"""
