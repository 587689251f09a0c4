import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from aelib import nets


@pytest.mark.parametrize("strides", [(2,), (2, 2, 2), (4, 2, 2), (3, 1, 2)])
def test_up_undoes_down_for_every_size(strides):
    widths = (2, 3, 4)[: len(strides)]
    for height in range(1, 34):
        width = 34 - height
        h = nets.down(1, widths, strides)(torch.zeros(1, 1, height, width))
        assert h.shape == (1, widths[-1], nets.sides(height, strides)[-1], nets.sides(width, strides)[-1])
        assert nets.up((1, height, width), widths, strides)(h).shape == (1, 1, height, width)


def test_every_input_pixel_reaches_the_code():
    for strides in ((2, 2), (4, 2)):
        for n in range(1, 20):
            x = torch.rand(1, 1, n, n, requires_grad=True)
            nets.down(1, (2, 2), strides, nn.Identity)(x).sum().backward()
            assert (x.grad != 0).all(), f"pixels of {n}×{n} are skipped with strides {strides}"


def test_mlp_has_the_layers_asked_for():
    net = nets.MLP(12, 5, 4, 3, activation=nn.Tanh, norm=nn.BatchNorm1d, dropout=0.5)
    assert [type(m).__name__ for m in net] == [
        "Flatten", *["Linear", "BatchNorm1d", "Tanh", "Dropout"] * 2, "Linear"
    ]  # fmt: skip
    x = torch.rand(7, 3, 2, 2)
    linear = nets.MLP(12, 3)
    torch.testing.assert_close(linear(x), x.flatten(1) @ linear[1].weight.T + linear[1].bias)
    with pytest.raises(ValueError, match="input and its output"):
        nets.MLP(3)


def test_a_residual_starts_at_its_base():
    base, x = nn.Linear(4, 3), torch.randn(5, 4)
    net = nets.Residual(base, nets.MLP(4, 8, 3))
    assert torch.equal(net(x), base(x))
    net(x).square().sum().backward()
    assert net.f[-1].weight.grad.abs().sum() > 0


def test_pca_layers_are_sklearns_pca():
    x = torch.randn(50, 12) @ torch.randn(12, 12)
    pca = PCA(6, whiten=True).fit(x.numpy())
    there, back = nets.pca_layers(pca, 6, (3, 2, 2))
    torch.testing.assert_close(
        there(x.view(50, 3, 2, 2)), torch.tensor(pca.transform(x.numpy())), rtol=1e-3, atol=1e-4
    )
    expected = torch.tensor(pca.inverse_transform(pca.transform(x.numpy())))
    torch.testing.assert_close(back(there(x)).flatten(1), expected, rtol=1e-3, atol=1e-4)
    assert not any(p.requires_grad for p in [*there.parameters(), *back.parameters()])
    with pytest.raises(ValueError, match="has 6 components; 7"):
        nets.pca_layers(pca, 7, (3, 2, 2))
