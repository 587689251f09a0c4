# ---
# jupyter:
#   jupytext:
#     formats: ipynb,source//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 · Denoising
#
# **Can it restore what it never saw clean?**
#
# *You need* notebook 01, and LFW and Fashion-MNIST (without them the page runs on cartoon faces and small
# digits). *It takes* about 25 minutes on one core, most of it training. *You will be able to* train a
# denoiser that beats the classical ones, say why a bottleneck loses to a filter where there is little noise,
# repair holes, learn without any clean picture, and read a density's slope off a denoiser.

# %% tags=["nbval-ignore-output"]
from dataclasses import replace
from functools import partial
from math import prod

from aelib import contexts, fit, losses, metrics, models, nets, plots
import check  # the file beside this page
import course  # the same
import restoring  # the same
from aelib.datasets import flipped, masked, noisy, occluded, salt_and_pepper
from aelib.training import adam, cosine

import torch
from skimage.restoration import inpaint_biharmonic
from torch import nn

faces = course.data("lfw", otherwise="drawn-faces", quick=240)
clothes = course.data("fashion-mnist", otherwise="digits", quick=1000)

# %% [markdown]
# ## Predict
#
# A picture with noise goes in, the clean one is the target. Three networks: a multilayer one and a
# convolutional one, both through a code of 64 numbers, and one without a
# [bottleneck](../materials/glossary.md). Which is best where the noise is strong? And where you hardly see
# it? Does any of them beat a median filter *everywhere*?
#
# How well a picture is restored is said in decibels, the [PSNR](../materials/glossary.md): −10 log₁₀ of the
# mean squared error of pixels in [0, 1]. Enter a guess: noise of σ = 0.1 is added to every pixel of clothes,
# and the result is cut to [0, 1]. How many dB is that?

# %%
decibels = ...  # a number
### BEGIN SOLUTION
decibels = 20
### END SOLUTION

# %% [markdown]
# ## 1 · Noise is data
#
# $$\tilde x = x + \sigma\,\varepsilon, \qquad \varepsilon \sim N(0, 1),$$
#
# cut to [0, 1]. This [corruption](../materials/glossary.md) changes what the encoder gets; what the
# reconstruction is compared with stays clean. So it is a function of a batch, and enters by `map`, with
# other noise in every epoch.
#
# ### Write: noise on a batch
#
# *Easy, 5 minutes; needs: `torch.randn_like`, `clamp`.*
#
# <details><summary>A hint</summary>
#
# A batch cannot be changed. `replace(batch, x=…)` is a second one with another x, and with all else as it
# was.
# </details>


# %%
def gaussian(batch, sigma):
    """A batch → the same with noise of standard deviation σ on x (B, C, H, W), cut to [0, 1]."""
    ### BEGIN SOLUTION
    x = batch.x + sigma * torch.randn_like(batch.x)
    return replace(batch, x=x.clamp(0, 1))
    ### END SOLUTION


# %%
gaussian = check.gaussian(gaussian)
results = []
for corruption in (partial(gaussian, sigma=0.3), noisy(0.3)):
    torch.manual_seed(0)
    results.append(clothes.test[:8].map(corruption).batch())
print("by hand = the library's:", torch.allclose(results[0].x, results[1].x))
print("the target is still clean:", torch.equal(results[0].target, clothes.test[:8].batch().x))

# %% [markdown]
# ### Debug: salt and pepper
#
# *Medium, 10 minutes; needs: masks, and what changes a tensor in place.*
#
# Dead cells of a sensor: a share of the pixels becomes black or white. Somebody wrote it like this. With it a
# network reaches an error that is too good to be true, and learns to add specks. What is wrong? There are
# two faults, and the picture shows both.


# %%
def speckled(x, share):
    """Pictures x (B, C, H, W) → the same, where a share of the pixels is black or white."""
    hit = torch.rand_like(x) < share
    x[hit] = torch.rand_like(x)[hit].round()
    return x


clean = faces.test[3:4].batch().x
with contexts.seeded(0):
    damaged = speckled(clean, 0.2)
plots.show(torch.cat([clean, damaged]), titles=["clean", "damaged"]).described(
    "The picture called clean and the damaged one: both have the same specks, in many colours."
)

# %% [markdown]
# Repair it.


# %%
def speckled(x, share):
    """Pictures x (B, C, H, W) → the same, where a share of the pixels is black or white."""
    ### BEGIN SOLUTION
    hit, colour = torch.rand(2, len(x), 1, *x.shape[2:])  # one number per pixel, for all its channels
    return torch.where(hit < share, colour.round(), x)
    ### END SOLUTION


# %%
speckled = check.speckled(speckled)
clean = faces.test[3:4].batch().x
with contexts.seeded(0):
    damaged = speckled(clean, 0.2)
plots.show(torch.cat([clean, damaged]), titles=["clean", "damaged"]).described(
    "A clean face, and beside it the same face with black and white specks."
)

# %% [markdown]
# A tensor that is changed in place is changed for all who hold it, the target included; and a dead cell is
# dead in all its colours. More that can happen to a picture, on one face:

# %%
scratches = torch.zeros(faces.shape[1:], dtype=torch.bool)
for row in range(0, faces.shape[1], 8):
    scratches[row : row + 2] = True
damage = {
    "noise": noisy(0.2), "salt, pepper": salt_and_pepper(0.2), "hole": occluded(0.2),
    "noisy hole": occluded(0.2, fill=None), "known hole": masked(scratches),
}  # fmt: skip
torch.manual_seed(2)
photo = faces.test[3:4]
seen = [photo.map(f).batch().x[:, : faces.shape[0]] for f in damage.values()]
plots.show(torch.cat([photo.batch().x, *seen]), titles=["photo", *damage]).described(
    "One face six times: whole, with noise, with specks, a grey hole, a noisy hole, grey stripes."
)

# %% [markdown]
# ### The fault that wins a table
#
# In public code there is noise that is multiplied by zero. Nothing crashes. Below, a network that was *not
# trained at all*, and that returns what it sees, is scored on such "noisy" images, and on really noisy ones.


# %%
def broken(batch):
    return replace(batch, x=batch.x + 0 * torch.randn_like(batch.x))


lazy = restoring.restorer(clothes.shape[0])
for name, corruption in {"noise times zero": broken, "noise": noisy(0.3)}.items():
    batch = clothes.test[:100].map(corruption).batch()
    error = metrics.mse(lazy.reconstruct(batch.x), batch.target).mean()
    print(
        f"{name:16s}  x equals the target: {torch.equal(batch.x, batch.target)!s:5s}  error 0: {error == 0}"
    )

# %% [markdown]
# The cure is one line before training: compare x with the target. An error too good to be true before the
# first step is the other sign.
#
# ## 2 · Three denoisers
#
# ### Write: the step that trains one
#
# *Easy, 10 minutes; needs: a training loop's four lines.*
#
# The network gets corrupted pictures, and is compared with the clean ones: squared error, summed over a
# picture, averaged over the batch. Then one step of the optimizer.


# %%
def denoising_step(model, clean, corrupt, optimizer):
    """A network, pictures (B, …), a function x → corrupted x, an optimizer → the loss before the step."""
    ### BEGIN SOLUTION
    restored = model(corrupt(clean))
    loss = (restored - clean).square().flatten(1).sum(1).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
    ### END SOLUTION


# %%
denoising_step = check.denoising_step(denoising_step)

# %% [markdown]
# Your step trains a small network for some seconds: 784 → 256 → 784, no bottleneck to speak of.


# %%
def by_03(x):
    return (x + 0.3 * torch.randn_like(x)).clamp(0, 1)


pixels = prod(clothes.shape)
with contexts.seeded(0):
    first = nn.Sequential(nn.Flatten(), nets.MLP(pixels, 256, pixels), nn.Unflatten(1, clothes.shape))
    optimizer = torch.optim.Adam(first.parameters(), lr=1e-3)
    for epoch in range(course.pick(full=4, quick=8)):
        for batch in clothes.train[:10000].batches(64, seed=epoch):
            denoising_step(first, batch.x, by_03, optimizer)

# %% [markdown]
# ### Write: how good is it?
#
# *Easy, 5 minutes; needs: a mean over all axes but the first.*


# %%
def psnr(x, clean):
    """Pictures x and the clean ones, both (B, C, H, W) → (B,), the PSNR of each in dB."""
    ### BEGIN SOLUTION
    each = (x - clean).square().flatten(1).mean(1)
    return -10 * each.log10()
    ### END SOLUTION


# %%
psnr = check.psnr(psnr)
with contexts.seeded(0), torch.no_grad():
    clean = clothes.test[:1000].batch().x
    rows = {"clean": clean, "noisy": by_03(clean), "restored": first(by_03(clean))}
    weak = (clean + 0.1 * torch.randn_like(clean)).clamp(0, 1)
print("yours = the library's:", torch.allclose(psnr(weak, clean), metrics.psnr(weak, clean), atol=1e-3))
plots.show({name: x[:6] for name, x in rows.items()}, columns=6, width=9).described(
    "Six pictures in three rows: clean, with noise, and restored by the first network, which blurs them."
)

# %% tags=["nbval-ignore-output"]
for name in ("noisy", "restored"):
    print(f"{name:9s} {psnr(rows[name], clean).mean():.1f} dB")
check.decibels(decibels, psnr(weak, clean).mean().item())

# %% [markdown]
# The squared error of noise is σ², so σ = 0.1 is −10 log₁₀ 0.01 = 20 dB, and each tenth of the error is worth
# 10 dB. It is a little more here: half of the noise on a black pixel is cut off.
#
# ### Now the library's, and a choice
#
# The third network is `restoring.restorer`: z = x + f(x), where f is a [U-Net](../materials/glossary.md) at
# full resolution that starts at zero, and the decoder shows z as it is. Its code is as large as the picture.
# How wide should f be? And which error should it minimise: the squared error, or its logarithm, with which a
# picture with little noise counts as much as one with much? The test pictures must not say. So: short
# trainings, judged by the PSNR of *validation* pictures, averaged over six strengths of noise.

# %%
levels, by_level = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5], noisy((0.05, 0.5))
valid, channels = clothes.valid[: course.pick(full=200, quick=8)], clothes.shape[0]


def restorer_for(data, error=losses.nll, widths=(64, 64), more=0, seed=0):
    """A restorer after one epoch on these data, `more` channels of whose x are not the picture's."""
    torch.manual_seed(seed)
    model = restoring.restorer(channels, seen=channels + more, widths=widths)
    objective = partial(losses.reconstruction, error=error)
    settings = {"epochs": 1, "batch_size": 8, "schedule": {"lr": cosine()}}
    fit(model, data, objective, adam(model, 2e-3), seed=seed, **settings)
    return model


# %% tags=["nbval-ignore-output"]
errors = {"log of squared": losses.nll, "squared": losses.squared_error}
few = clothes.train[: course.pick(full=4000, quick=80)].map(by_level)
tried = {}
for name, error in errors.items():
    for widths in ((64, 64), (32, 64, 128), (48, 96)):
        candidate = {"candidate": restoring.by(restorer_for(few, error, widths))}
        found = restoring.compare(candidate, valid, levels, seed=1)["psnr"].unstack("method").mean()
        tried[error, widths] = found["candidate"]
        print(
            f"{name:14s} {widths!s:14s} {found['candidate']:.2f} dB   (input: {found['noisy input']:.2f} dB)"
        )
best_error, best_widths = max(tried, key=tried.get)
restorer_for = partial(restorer_for, error=best_error, widths=best_widths)
print(f"{len(valid)} validation pictures, {len(few)} to learn from, one seed; the best is taken from here on")

# %% [markdown]
# Now all three, with equal budgets: the same pictures in the same batches, so equally many steps, and the
# same noise. Each picture has its own σ, uniform from 0.05 to 0.5, which they are not given: they are
# [blind](../materials/glossary.md). (One seed.)

# %%
torch.manual_seed(0)
trained = {
    "multilayer": models.autoencoder(clothes.shape, 64, net="mlp", posterior="deterministic"),
    "convolutional": models.autoencoder(clothes.shape, 64, posterior="deterministic"),
    "restorer": restoring.restorer(channels, widths=best_widths),
}
steps = {}
for name, model in trained.items():
    objective = (
        partial(losses.reconstruction, error=best_error) if name == "restorer" else losses.reconstruction
    )
    optimizer = adam(model, 2e-3)
    fit(
        model, clothes.train.map(by_level), objective, optimizer,
        epochs=2, batch_size=8, schedule={"lr": cosine()},
    )  # fmt: skip
    steps[name] = int(next(iter(optimizer.state.values()))["step"])

# %% [markdown]
# Against them: the median of a window, and *non-local means*, which averages pixels with similar
# surroundings, and is given σ. Their settings are chosen at each level, on validation images. All methods get
# the same noisy test images.

# %%
n = course.pick(full=200, quick=20)  # from 40 on: the first 40 were looked at when settings were tried


def classical(split):
    few = split.valid[: course.pick(full=50, quick=4)]
    medians = {str(side): restoring.median(side) for side in (3, 5, 7, 9)}
    means = {str(h): restoring.non_local_means(h) for h in (0.3, 0.4, 0.6, 0.8)}
    return {
        "median": restoring.chosen(medians, few, levels),
        "non-local means": restoring.chosen(means, few, levels),
    }


filters, ours = classical(clothes), {name: restoring.by(model) for name, model in trained.items()}
table = restoring.compare({**filters, **ours}, clothes.test[40 : 40 + n], levels)


# %%
looks = {
    "noisy input": ("--", course.COLOURS["pixels"]), "median": ("--", "C8"), "non-local means": ("--", "C5"),
    "multilayer": (":", course.COLOURS["AE"]), "convolutional": ("-", course.COLOURS["AE"]),
    "restorer": ("-", "C4"),
}  # fmt: skip


def draw(table):
    figure, panels = plots.axes(1, 2, (4.4, 3.2))
    for ax, quality in zip(panels[0], ("psnr", "ssim"), strict=True):
        for name, rows in table.groupby(level="method", sort=False):
            look, errors = dict(zip(("ls", "color"), looks[name], strict=True)), rows[f"{quality}_error"]
            ax.errorbar(levels, rows[quality], errors, marker=".", label=name, **look)
        ax.set(xlabel="σ", ylabel={"psnr": "PSNR, dB", "ssim": "SSIM"}[quality])
    panels[0][1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


# %%
draw(table).described(
    "PSNR and SSIM of clothes against σ, a line per method: the two with a code of 64 are nearly flat, the "
    "others fall."
)

# %% [markdown]
# Bars are standard errors over the pictures. Follow the two networks with a code of 64 from right to left:
# with less and less noise they hardly get better, and at the left end even the *untouched* input is ahead. Of
# a picture with hardly any noise they lose what their code cannot hold. Where the noise is strong that loss
# is small beside the noise: there both are ahead of the two filters, and at the right end the convolutional
# one is even a little ahead of the restorer. Everywhere else the restorer has the highest PSNR.

# %% tags=["nbval-ignore-output"]
print("PSNR in dB")
print(table["psnr"].unstack("sigma").loc[["noisy input", *filters, *ours]].round(2).to_string())
print(
    "steps:", ", ".join(f"{name} {number}" for name, number in steps.items()), "of 8 pictures each; one seed"
)
print("chosen on validation pictures: the restorer's widths and error, the filters' settings at each level")

# %% [markdown]
# ## 3 · Faces
#
# The same kind of restorer, in colour, at 64×64. (Its widths are the library's, 32, 64 and 128. They were set
# when the first 40 test faces were in view, and not chosen again; what follows is measured on others.)

# %%
torch.manual_seed(0)
restorer = restoring.restorer(faces.shape[0])
history = fit(
    restorer, faces.train.map(flipped).map(noisy((0.05, 0.5))), losses.reconstruction, adam(restorer, 2e-3),
    epochs=course.pick(full=4, quick=1), batch_size=4, schedule={"lr": cosine()},
)  # fmt: skip
methods = {**classical(faces), "restorer": restoring.by(restorer)}
face_table = restoring.compare(methods, faces.test[40 : 40 + n], levels)

# %% tags=["figure-denoising"]
draw(face_table).described(
    "PSNR and SSIM of faces against σ, a line per method: in the full run the restorer's is the highest."
)

# %% tags=["nbval-ignore-output"]
for name, rows in (("clothes", table), ("faces", face_table)):
    for quality in ("psnr", "ssim"):
        each = rows[quality].unstack("method")
        lead = each["restorer"] - each[["noisy input", "median", "non-local means"]].max(axis=1)
        text = "   ".join(f"{sigma}: {v:+.3f}" for sigma, v in lead.items())
        print(f"{name:8s}{quality}, restorer minus the best other at σ = {text}")
print("one seed each")

# %% [markdown]
# A positive number: the restorer, which is blind, is ahead of the input, of the median and of non-local
# means, which is given σ. Look at how the lead grows with the noise, up to σ = 0.3 or 0.4, and falls by less
# than a fifth after it. (In the quick profile the restorer has hardly begun, and a filter may be ahead.)

# %% tags=["figure-restored"]
shown = (0.1, 0.3, 0.5)
columns = []
for sigma in shown:
    torch.manual_seed(0)
    x = faces.test[7:9].map(noisy(sigma)).batch().x
    columns.append([x, *(method(x, sigma) for method in methods.values())])
rows = {name: torch.cat([c[k] for c in columns]) for k, name in enumerate(["noisy input", *methods])}
rows["truth"] = faces.test[[7, 8] * len(shown)].batch().x
plots.show(rows, titles=[f"σ = {s}" for s in shown for _ in range(2)], width=10).described(
    "Two faces under three strengths of noise, restored by the median, non-local means and the restorer; the "
    "truth in the last row."
)

# %% [markdown]
# ### Explore
#
# Move the strength, try other noise. Then change the corruption: what does a denoiser do with damage that
# it was not trained on? Below, the same as a still picture.

# %%
restoring.denoising({"restorer": restorer}, faces.test[:60])

# %%
cases = {f"σ = {s}": noisy(s) for s in (0.05, 0.2, 0.5)}
cases |= {"salt, pepper": salt_and_pepper(0.1), "hole": occluded(0.1)}
plots.show(restoring.denoising_strip(restorer, faces.test[5:6], cases), titles=list(cases)).described(
    "One face under three strengths of noise, specks and a hole, restored: the hole stays grey."
)

# %% [markdown]
# ## 4 · It knows the damage it was shown
#
# Two more restorers of clothes, on fewer images: one is trained on Gaussian noise, the other on salt and
# pepper. Each is tried on both, beside the median filter.

# %%
short, seeds = clothes.train[: course.pick(full=10000, quick=300)], course.pick(full=(0, 1, 2), quick=(0, 1))
blind = [restorer_for(short.map(by_level), seed=seed) for seed in seeds]
salty = restorer_for(short.map(salt_and_pepper((0.05, 0.5))))

# %% tags=["nbval-ignore-output"]
trials = {"trained on noise": restoring.by(blind[0]), "trained on salt": restoring.by(salty)}
trials |= {"median 3×3": restoring.median(3), "input": lambda x, sigma: x}
for damage, corruption in {"noise 0.2": noisy(0.2), "salt, pepper 0.2": salt_and_pepper(0.2)}.items():
    with contexts.seeded(0):
        batch = clothes.test[40 : 40 + n].map(corruption).batch()
    each = {name: metrics.psnr(f(batch.x, 0.2), batch.target).mean() for name, f in trials.items()}
    print(f"{damage:18s}", "   ".join(f"{name} {v:.1f} dB" for name, v in each.items()))
print("one seed; settings as above")

# %% [markdown]
# ## 5 · Blind, or with σ given?
#
# A known level is a [condition](../materials/glossary.md), so `noisy(…, known=True)` puts it into c, and the
# network gets one more constant channel. The same training otherwise. How many dB is it worth to know σ?

# %%
with_sigma = short.map(noisy((0.05, 0.5), known=True))
pairs = [
    (model, restorer_for(with_sigma, more=1, seed=seed)) for model, seed in zip(blind, seeds, strict=True)
]


def by_way(blind, given):
    ask = restoring.by(given, known=True)
    ways = {"blind": restoring.by(blind), "σ given": ask, "0.3 given": lambda x, sigma: ask(x, 0.3)}
    return restoring.compare(ways, clothes.test[40 : 40 + n], levels)["psnr"].unstack("method")


tables = [by_way(*pair) for pair in pairs]

# %% tags=["nbval-ignore-output"]
for each in tables:
    each["gain"] = each["σ given"] - each["blind"]
summary = sum(tables) / len(tables)
summary["±"] = (sum((each["gain"] - summary["gain"]) ** 2 for each in tables) / (len(tables) - 1)) ** 0.5
columns = ["noisy input", "blind", "σ given", "gain", "±", "0.3 given"]
print(summary[columns].round(2).to_string())
print(f"PSNR in dB; means over seeds {seeds}; ±: standard deviation of the gain over the seeds")

# %% [markdown]
# To know σ is worth a decibel where the noise is weakest, half of one where it is strongest, and 0.2 to 0.3
# in between. The last column says what it costs a network to be given a σ that is not so.
#
# ## 6 · Holes
#
# [Inpainting](../materials/glossary.md): where a hole is cannot be a condition, which is one number for the
# whole picture: it is one more channel of x. Trained on rectangles at random places (`occluded(…,
# known=True)`), tried on a bar across the middle and on scratches. What lies outside a *known* hole need not
# be guessed: it is put back.

# %%
high, wide = clothes.shape[1:]
bar, scratches = torch.zeros(2, high, wide, dtype=torch.bool)
bar[high // 4 : high // 2, wide // 4 : 3 * wide // 4] = True
scratches[::8] = scratches[1::8] = True
filler, filled = restorer_for(short.map(occluded((0.05, 0.25), known=True)), more=1), {}
for name, hole in {"bar": bar, "scratches": scratches}.items():
    batch = clothes.test[40 : 40 + n].map(masked(hole)).batch()
    own = restorer_for(short.map(masked(hole)), more=1)
    seen, guess, owns = batch.x[:, :-1], restoring.restore(filler, batch), restoring.restore(own, batch)
    smooth = [inpaint_biharmonic(x, hole.numpy(), channel_axis=0) for x in seen.double().numpy()]
    smooth = torch.stack([torch.from_numpy(x).float() for x in smooth]).clamp(0, 1)
    rows = {"input": seen, "biharmonic": smooth, "restorer": torch.where(hole, guess, seen)}
    filled[name] = rows | {"trained on it": torch.where(hole, owns, seen), "truth": batch.target}

# %%
both = {row: torch.cat([filled[name][row][:3] for name in filled]) for row in filled["bar"]}
plots.show(both, titles=[name for name in filled for _ in range(3)], width=9).described(
    "Three clothes with a grey bar, three with grey stripes: filled smoothly, by the restorer, by one that "
    "was trained on this hole; and the truth."
)

# %% tags=["nbval-ignore-output"]
for (name, rows), hole in zip(filled.items(), (bar, scratches), strict=True):
    truth = rows["truth"][..., hole]
    inside = {
        method: -10 * metrics.mse(x[..., hole], truth).mean().log10()
        for method, x in rows.items()
        if method != "truth"
    }
    print(f"in the {name:9s}", "   ".join(f"{method} {v:.1f} dB" for method, v in inside.items()))
print("one seed; settings as above")

# %% [markdown]
# *Biharmonic* filling continues the picture as smoothly as it can. Look at which hole is whose. In
# the bar the restorer is a decibel ahead of it; in the scratches the two are level. A restorer that was
# trained on the very hole is two to four decibels better than the one that was trained on rectangles at
# random: it can fill what it was shown. In the broad bar the networks fill in what clothes are like: likely,
# and perhaps wrong. (One seed.)
#
# ## 7 · What nobody saw clean
#
# Now take the clean pictures away altogether. Input *and* target are noisy, with noise sampled separately.
# The squared error is smallest at the mean of the target given the input, E[x + ε′ | x̃] = E[x | x̃], because
# ε′ has mean 0 and knows nothing of x̃. (The target's noise is not cut to [0, 1]: cut noise has another
# mean.)


# %%
def noisy_target(batch):
    return replace(batch, target=batch.target + 0.3 * torch.randn_like(batch.target))


targets = {"clean targets": short.map(noisy(0.3)), "noisy targets": short.map(noisy(0.3)).map(noisy_target)}
results = []
for seed in seeds:
    never = {
        name: restoring.by(restorer_for(data, error=losses.squared_error, seed=seed))
        for name, data in targets.items()
    }
    results.append(
        restoring.compare(never, clothes.test[40 : 40 + n], [0.3]).droplevel("sigma")[["psnr", "ssim"]]
    )

# %% tags=["nbval-ignore-output"]
averages, numbers = sum(results) / len(results), [each["psnr"] for each in results]
averages["each seed"] = ["  ".join(f"{each[name]:.2f}" for each in numbers) for name in averages.index]
print(averages.round(3).to_string())
print(f"PSNR in dB; means over seeds {seeds}; widths as above, the squared error for both")

# %% [markdown]
# So the answer to this page's question is yes. Without one clean picture the restorer is far above its input,
# and 0.6 dB behind the one that was given them, in each of three seeds. (Lehtinen et al., *Noise2Noise*,
# 2018. In the quick profile the numbers are smaller.)
#
# ## 8 · What a denoiser knows: the score
#
# Blur a density p with noise, p_σ = p ∗ N(0, σ²). Its [score](../materials/glossary.md) ∇ log p_σ(x) points
# uphill, to where the data are. The best denoiser r(x) = E[clean | x] is all one needs for it (Tweedie's
# formula):
#
# $$\nabla \log p_\sigma(x) = \frac{r(x) - x}{\sigma^2}.$$
#
# ### Write: the score of a denoiser
#
# *Easy, 2 minutes; needs: the formula above.*


# %%
def score(x, r, sigma):
    """Noisy x and its denoised r, both (B, D), and σ → (B, D), the score at x."""
    ### BEGIN SOLUTION
    return (r - x) / sigma**2
    ### END SOLUTION


# %%
score = check.score(score)

# %% [markdown]
# On points in a plane, where p_σ is a mixture of Gaussians, the exact score is known. Here, a spiral; the
# denoiser is trained by your step.

# %%
torch.manual_seed(0)
angle = 3 * torch.pi * torch.rand(1000).sqrt()
points = torch.stack([angle * angle.cos(), angle * angle.sin()], 1) / 6
sigma, r = 0.2, nets.MLP(2, 128, 128, 2)
optimizer = adam(r, 2e-3)
for _ in range(course.pick(full=2500, quick=300)):
    denoising_step(r, points, lambda x: x + sigma * torch.randn_like(x), optimizer)


# %%
@torch.no_grad()
def learnt(x):
    return score(x, r(x), sigma)


side = torch.linspace(-1.75, 1.75, 18)
grid = torch.cartesian_prod(side, side)
figure, panels = plots.axes(1, 2, (4, 4))
exact = restoring.score(points, grid, sigma)
for ax, (name, arrows) in zip(panels[0], {"exact": exact, "learnt": learnt(grid)}.items(), strict=True):
    ax.plot(*points.T, ".", markersize=2, color="C1")
    ax.quiver(*grid.T, *arrows.T, color="C0", scale=400, width=0.004)
    ax.set(title=f"{name} score", xticks=[], yticks=[], aspect="equal")
figure.described(
    "Points on a spiral, and arrows that lead to it from all sides: the exact score and the learnt one."
)

# %% tags=["nbval-ignore-output"]
torch.manual_seed(1)
for name, x in {
    "where it was trained": points + sigma * torch.randn_like(points),
    "on the grid": grid,
}.items():
    truth = restoring.score(points, x, sigma)
    agree = torch.nn.functional.cosine_similarity(learnt(x), truth)
    print(f"cosine similarity {name}: mean {agree.mean():.3f}, median {agree.median():.3f}")

# %% [markdown]
# Look for the places where the two differ: in the middle between two arms, where the score is nearly zero and
# a small error turns its direction, and far out, where the network had no examples. (One seed.)
#
# ### Write: a step uphill, with noise
#
# *Easy, 5 minutes; needs: `torch.randn_like`.*
#
# Where does the score lead to, from anywhere? Uphill alone, x ← x + τ ∇ log p_σ(x), it leads to the tops of
# the density. With the right amount of noise, points that go on long enough are distributed as p_σ itself:
# *Langevin dynamics*,
#
# $$x \leftarrow x + \tau\,\nabla \log p_\sigma(x) + \sqrt{2\tau}\,\varepsilon,$$
#
# with ε from N(0, 1) for each number.


# %%
def langevin(x, score_at, tau):
    """Points x (B, D), a function x → the score (B, D), a step τ → the points after one step, (B, D)."""
    ### BEGIN SOLUTION
    noise = (2 * tau) ** 0.5 * torch.randn_like(x)
    return x + tau * score_at(x) + noise
    ### END SOLUTION


# %%
langevin = check.langevin(langevin)
tau = sigma**2 / 20
with contexts.seeded(0):
    start = 3.5 * torch.rand(1000, 2) - 1.75
    walkers = {"start": start, "uphill": start, "with noise": start, "with noise, exact score": start}
    for _ in range(1000):
        walkers["uphill"] = walkers["uphill"] + tau * learnt(walkers["uphill"])
        walkers["with noise"] = langevin(walkers["with noise"], learnt, tau)
        at = walkers["with noise, exact score"]
        walkers["with noise, exact score"] = langevin(at, partial(restoring.score, points, scale=sigma), tau)
    walkers["data, blurred"] = points + sigma * torch.randn_like(points)

# %%
figure, panels = plots.axes(1, 5, (2.4, 2.6))
for ax, (name, at) in zip(panels[0], walkers.items(), strict=True):
    ax.plot(*points.T, ".", markersize=1, color="C1")
    ax.plot(*at.T, ".", markersize=2, color="C0", alpha=0.6)
    ax.set(title=name, xticks=[], yticks=[], aspect="equal", xlim=(-2, 2), ylim=(-2, 2))
figure.described(
    "Five panels with the spiral: points spread out; gathered in a few places without noise; all along it "
    "with noise, as the blurred data are."
)

# %% tags=["nbval-ignore-output"]
for name, at in walkers.items():
    nearest = torch.cdist(at, points).amin(1)
    print(f"{name:24s} mean distance to the nearest point of the spiral: {nearest.mean():.3f}")

# %% [markdown]
# Without noise the points gather in a few places, nearer to the spiral than the noisy data that the denoiser
# learnt from. With noise they are everywhere along it, and about as far from it as the blurred data are. So a
# denoiser is enough to *sample*. What is sampled has the noise of σ still in it. Less and less of it from
# step to step, with a denoiser for each level: this is how *diffusion models* make pictures.
#
# ## Your turn
#
# Then try:
#
# * Cut the target's noise in section 7 to [0, 1] too. Where do black pixels end up, and why?
# * Multiply the noise in Langevin's step by 0, by ½, by 2. Where do the points end?
# * PCA is a denoiser with a bottleneck too: project noisy clothes on 64 components, or on 256. How far to the
#   left is it ahead of the input?
#
# <details><summary>Answers</summary>
#
# * At 0.12. The best answer is the mean of the target. Of a black pixel's noise the half below 0 is cut off,
#   and the mean of the rest is E[max(0, 0.3 ε)] = 0.3 / √(2π) = 0.12. White ends at 0.88 in the same way.
# * With the exact score and 500 steps: without noise 0.025 from the nearest point of the spiral, with half
#   of it 0.084, with all of it 0.161, as far as the blurred data, and with twice as much 0.304. Only one
#   strength gives p_σ; less gathers the points, more spreads them.
# * With PCA of 10,000 training pictures, on 200 test pictures: with 64 components it is as good as the input
#   at σ = 0.12 and better above, with 256 from about 0.08 on. The wider bottleneck also keeps more of the
#   noise: at σ = 0.2 the 64 components are ahead of the 256, 18.9 dB against 18.7.
# </details>
#
# ## Take away
#
# * Corruption is data: it changes x and never the target, and one compares the two before training.
# * Without a bottleneck, only the corruption keeps a network from copying; with one, it also loses what
#   little noise would have left.
# * A denoiser learns the mean of what may have been there: from noisy targets as well, and it is the slope of
#   the density.
#
# Next: **06, image retrieval.**
