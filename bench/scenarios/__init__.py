"""One module for each scenario; `bench.scenario` says what it holds."""
