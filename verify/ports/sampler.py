def findings(samplings, name):
    return []
