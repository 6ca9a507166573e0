"""A placeholder for the example strategy: waits until it is told to stop."""
import signal

signal.sigwait({signal.SIGTERM})
