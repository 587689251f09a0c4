import projecting
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from aelib import nets


@pytest.mark.parametrize("strides", [(2,), (2, 2, 2), (4, 2, 2), (3, 1, 2)])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_up_undoes_down_for_every_size(strides, axes):
    widths = (2, 3, 4)[: len(strides)]
    down, up = nets.down(1, widths, strides, axes=axes), nets.Up((1, *[9] * axes), widths, strides)
    for n in range(1, 34):
        size = (n, 34 - n, n % 5 + 1)[:axes]
        h = down(torch.zeros(1, 1, *size))
        assert h.shape == (1, widths[-1], *nets.sizes(size, strides)[-1])
        own = nets.Up((1, *size), widths, strides)
        assert own(h).shape == up(h, size).shape == (1, 1, *size)
        own.load_state_dict(up.state_dict())
        assert torch.equal(own(h), up(h, size))  # asked for a size, or built for it: the same


def test_without_a_size_a_code_gives_the_size_built_for_or_the_largest_of_its_places():
    up = nets.Up((1, 45, 37), (2, 3), (2, 2))
    assert up(torch.zeros(1, 3, 12, 10)).shape == (1, 1, 45, 37)
    assert up(torch.zeros(1, 3, 5, 6)).shape == (1, 1, 20, 24)
    with pytest.raises(ValueError, match=r"size \(20, 25\) has \(5, 7\) places; got one of \(5, 6\)"):
        up(torch.zeros(1, 3, 5, 6), (20, 25))


@pytest.mark.parametrize("size", [(7,), (5, 6)])
def test_a_series_is_a_picture_one_pixel_high_and_a_picture_a_volume_one_voxel_deep(size):
    """What is one thick meets only the middle of a kernel."""
    thick = [nets.ConvEncoder((2, 1, *size), 3, (4, 6)), nets.ConvDecoder(3, (2, 1, *size), (4, 6))]
    thin = [nets.ConvEncoder((2, *size), 3, (4, 6)), nets.ConvDecoder(3, (2, *size), (4, 6))]
    for a, b in zip(thick, thin, strict=True):
        b.load_state_dict({k: w[:, :, 1] if w.ndim > 2 else w for k, w in a.state_dict().items()})
    x = torch.rand(5, 2, 1, *size)
    z = thin[0](x[:, :, 0])
    torch.testing.assert_close(thick[0](x), z)
    torch.testing.assert_close(thick[1](z)[:, :, 0], thin[1](z))


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
    there, back = projecting.pca_layers(pca, 6, (3, 2, 2))
    torch.testing.assert_close(
        there(x.view(50, 3, 2, 2)), torch.tensor(pca.transform(x.numpy())), rtol=1e-3, atol=1e-4
    )
    expected = torch.tensor(pca.inverse_transform(pca.transform(x.numpy())))
    torch.testing.assert_close(back(there(x)).flatten(1), expected, rtol=1e-3, atol=1e-4)
    assert not any(p.requires_grad for p in [*there.parameters(), *back.parameters()])
    with pytest.raises(ValueError, match="has 6 components; 7"):
        projecting.pca_layers(pca, 7, (3, 2, 2))
