"""Slow twins of the baselines: float64, one time step, one layer and one expert at a time."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def lstm_step(x, h, c, w, r, biases, capped=False, forget_bias=0.0, hidden_mask=1.0):
    """h_t and c_t; gates stand in the columns of W `[K, 4U]` and R `[U, 4U]` as i, f, g, o."""
    i, f, g, o = np.split(x @ w + (h * hidden_mask) @ r + sum(biases), 4, axis=1)
    i, f, g, o = sigmoid(i), sigmoid(f + forget_bias), np.tanh(g), sigmoid(o)
    c = f * c + (np.minimum(i, 1.0 - f) if capped else i) * g
    return o * np.tanh(c), c


def nas_step(x, m, c, w, r, hidden_mask=1.0):
    """m_t and c_t; the eight maps stand side by side in W and R."""
    big_x, big_m = np.split(x @ w, 8, axis=1), np.split((m * hidden_mask) @ r, 8, axis=1)

    def relu(a):
        return np.maximum(a, 0.0)

    a_0, a_1 = sigmoid(big_x[0] + big_m[0]), relu(big_x[1] + big_m[1])
    a_2, a_3 = sigmoid(big_x[2] + big_m[2]), relu(big_x[3] * big_m[3])
    a_4, a_5 = np.tanh(big_x[4] + big_m[4]), sigmoid(big_x[5] + big_m[5])
    a_6, a_7 = np.tanh(big_x[6] + big_m[6]), sigmoid(big_x[7] + big_m[7])
    l_0, l_1, l_2, l_3 = np.tanh(a_0 * a_1), np.tanh(a_2 + a_3), np.tanh(a_4 * a_5), sigmoid(a_6 + a_7)
    l_0 = np.tanh(l_0 + c)
    c = l_0 * l_1
    return np.tanh(c * np.tanh(l_2 + l_3)), c


def rhn_step(x, s, w, layers, input_mask=1.0, hidden_mask=1.0):
    """The state after all micro-layers; `layers` are (R `[U, 2U]`, gate bias, candidate bias)."""
    for number, (r, gate_bias, bias) in enumerate(layers):
        pre = (s * hidden_mask) @ r + np.concatenate([gate_bias, bias])
        if number == 0:
            pre = pre + (x * input_mask) @ w
        t, h = np.split(pre, 2, axis=1)
        t, h = sigmoid(t), np.tanh(h)
        s = (h - s) * t + s
    return s


def run(step, x, states):
    """All outputs `[B, T, U]` and the states after each step, from a step (x_t, *states) -> states."""
    history = []
    for t in range(x.shape[1]):
        states = step(x[:, t], *states)
        history.append(states)
    return np.stack([states[0] for states in history], axis=1), history


def mixture(hidden, prior, latent, latent_bias, embedding, bias, mask=1.0):
    """P + 1e-8 over the words, `[B, T, V]`, expert by expert."""
    weights = softmax(hidden @ prior)
    latents = np.tanh(hidden @ latent + latent_bias) * mask
    experts = np.split(latents, weights.shape[-1], axis=-1)
    total = sum(
        weights[..., k : k + 1] * softmax(expert @ embedding.T + bias) for k, expert in enumerate(experts)
    )
    return total + 1e-8


def mixture_gradients(hidden, prior, latent, latent_bias, embedding, bias, targets, mask=1.0):
    """Of Σ -log(P[target] + 1e-8) in all arguments but the targets, in their order, by the chain rule."""
    weights, latents = softmax(hidden @ prior), np.tanh(hidden @ latent + latent_bias)
    ones = np.eye(len(bias))[targets]
    upstream = -1.0 / np.sum(
        mixture(hidden, prior, latent, latent_bias, embedding, bias, mask) * ones, axis=-1
    )
    of_weights, of_latents = np.zeros_like(weights), []
    of_embedding, of_bias = np.zeros_like(embedding), np.zeros_like(bias)
    for k, expert in enumerate(np.split(latents * mask, weights.shape[-1], axis=-1)):
        shares = softmax(expert @ embedding.T + bias)
        share = np.sum(shares * ones, axis=-1)
        of_weights[..., k] = upstream * share
        of_logits = (upstream * weights[..., k] * share)[..., np.newaxis] * (ones - shares)
        of_embedding += np.einsum("btv,bte->ve", of_logits, expert)
        of_bias += of_logits.sum(axis=(0, 1))
        of_latents.append(of_logits @ embedding)
    of_sums = np.concatenate(of_latents, axis=-1) * mask * (1.0 - latents**2)
    mean = np.sum(weights * of_weights, axis=-1, keepdims=True)
    of_scores = weights * (of_weights - mean)
    of_hidden = of_scores @ prior.T + of_sums @ latent.T
    of_prior, of_latent = (np.einsum("btu,btk->uk", hidden, of) for of in (of_scores, of_sums))
    return of_hidden, of_prior, of_latent, of_sums.sum(axis=(0, 1)), of_embedding, of_bias


class Adam:
    """Kingma & Ba, algorithm 1 in the order of computation that they recommend, with λ w in the gradient."""

    def __init__(self, weights, decay, beta_1, beta_2, epsilon):
        self.weights, self.decay, self.betas, self.epsilon = weights, decay, (beta_1, beta_2), epsilon
        self.moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
        self.count = 0

    def step(self, gradients, lr):
        self.count += 1
        beta_1, beta_2 = self.betas
        for k, (w, g) in enumerate(zip(self.weights, gradients, strict=True)):
            g = g + self.decay * w
            m, v = self.moments[k]
            m, v = beta_1 * m + (1.0 - beta_1) * g, beta_2 * v + (1.0 - beta_2) * g * g
            self.moments[k] = m, v
            rate = lr * np.sqrt(1.0 - beta_2**self.count) / (1.0 - beta_1**self.count)
            self.weights[k] = w - rate * m / (np.sqrt(v) + self.epsilon)
