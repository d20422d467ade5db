"""The sandbox EHR: a FHIR R4 server of its own process, for training and tests. It imports nothing of the product."""
