"""Diagnosis of ports: anybody's MeanFlow code, unedited, as a black box (`meanflow diagnose`).

A probe network with known derivatives stands where the port has its network. What the port passes
to it, what gradient comes back at its answer and what the loss returns tell the formula that the
port computes. Files, in the order of data flow:

    settings      what a port is held to: the settings of the authors' two codes, and its claims
    child         runs the port under its own interpreter, and holds the probe network
    process       that child process, asked and answered; time limits
    runs          runs of a loss, their rows pooled over calls and matched to images
    collect       what the findings need: paired runs, many draws, weights, samples
    solve         the regression target of each row, as coefficients
    reading       the same in the paper's terms; the path
    formula       the formula that all rows share
    families path derivative guidance target weight laws sampler network   findings
    diagnose      the findings in order, each from what was measured before
    diagnosis     a whole diagnosis and its exit status
    report figure templates   the table and JSON, the SVG, files to fill in
"""
