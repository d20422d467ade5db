"""The demo: a made-up clinic in the sandbox EHR, a waitlist of sixty, and one cancellation played to its end."""
