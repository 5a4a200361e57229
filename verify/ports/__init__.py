"""Diagnosis of ports: anybody's MeanFlow code, unedited, as a black box (`meanflow diagnose`).

A probe network with known derivatives stands where the port has its network. What the port passes
to it, what gradient comes back at its answer and what the loss returns tell the formula that the
port computes. Files, in the order of data flow:

    settings      what a port is held to: the settings of the authors' two codes, and its claims
    child         runs the port under its own interpreter; needs NumPy and the framework alone
    process       that child process, asked and answered; time limits
    probe         the probe network in NumPy, with its derivatives
    observation   what one call of a loss or sampler told, row by row
    path target guidance weight laws sampler families network   findings, each on a quantity
    finding       one line of the report
    diagnose      the findings in order, each from what was measured before
    report        the table, JSON and SVG
"""
