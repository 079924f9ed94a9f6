"""One module for each contender, with a class `Adapter`; `bench.contender` says what that may do."""
