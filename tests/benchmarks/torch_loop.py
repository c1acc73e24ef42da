"""The loop that a PyTorch user writes for a cell that has no kernel; a file of its own for the script compiler."""

import torch


def peephole_lstm(x: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    kernel, recurrent_kernel, bias, p_i, p_f, p_o = weights
    h = torch.zeros(x.shape[0], recurrent_kernel.shape[0], device=x.device)
    c = torch.zeros_like(h)
    projected = torch.matmul(x, kernel) + bias
    outputs = []
    for t in range(x.shape[1]):
        i, f, g, o = (projected[:, t] + torch.matmul(h, recurrent_kernel)).chunk(4, 1)
        i, f = torch.sigmoid(i + p_i * c), torch.sigmoid(f + p_f * c)
        c = f * c + i * torch.tanh(g)
        h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs, 1)
