"""placeholder"""
def estimate(*a):
    raise NotImplementedError
