"""TEMPORARY numpy adjoint."""
import numpy as np
from spu.emulator.runs.noise import BLOCK, fill_normals, key_of, SAMPLES

def pathwise(equation, own, start, steps, h, seed, loss):
    B, n = own.shape
    out = np.empty((-(-n // BLOCK) * BLOCK, B * steps))
    fill_normals(out, np.uint64(0), key_of(seed, SAMPLES), np.repeat(np.arange(steps, dtype=np.uint64), B), np.tile(np.arange(B, dtype=np.uint64), steps))
    z = out[:n].reshape(n, steps, B).transpose(1, 2, 0)
    dev = np.sqrt((equation.noise**2).sum(1)) * np.sqrt(h)
    x = np.broadcast_to(start, own.shape).astype(float)
    field = equation.field + own
    xs = []
    mu, K = equation.mobility, equation.stiffness
    for k in range(steps):
        xs.append(x)
        x = x + h * mu * (field - x @ K.T - equation.quadratic * x**2 - equation.cubic * x**3) + dev * z[k]
    values, lam = loss(x)
    gF, gK = np.zeros_like(own), np.zeros((n, n))
    for xk in reversed(xs):
        m = h * mu * lam
        gF += m
        gK -= m.T @ xk
        lam = lam - m @ K - m * (2 * equation.quadratic * xk + 3 * equation.cubic * xk**2)
    return values, {"stiffness": gK, "own": gF}
