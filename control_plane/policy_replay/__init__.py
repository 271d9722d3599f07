"""Replaying recorded decisions in bulk: facts as columns, typed trees over NumPy arrays, what a candidate would change.

columns.py holds facts, plan.py and arithmetic.py turn trees into array steps, choose.py finds rules, decide.py modes,
replay.py compares. Bit-identical to `Policy.decide`: rows in doubt go to the scalar form. No SQL and no HTTP here.
"""
