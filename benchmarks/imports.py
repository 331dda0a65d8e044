"""How long `import pymc` takes in a fresh interpreter, caches and byte-code warm."""


class Import:
    version = "1"
    timeout = 600
    rounds = 1
    repeat = 5
    number = 1

    def timeraw_pymc(self):
        return "import pymc"
