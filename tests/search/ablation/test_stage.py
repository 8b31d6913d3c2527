"""What a training takes is tried on networks of all sizes, by what their proxies cost."""

from __future__ import annotations

from archbench.models import as_spec, count
from archbench.search.ablation.request import of_all_sizes, requested


def test_networks_are_tried_from_the_light_to_the_heavy_but_no_extreme() -> None:
    request = requested(None, paper="levit")
    proxies = [request.proxy.spec(as_spec(form.spec)) for form in request.trained if form.spec]
    every = sorted({proxy.digest: count(proxy).macs for proxy in proxies}.values())
    found = of_all_sizes(request.trained, proxy=request.proxy, number=3)
    macs = [count(request.proxy.spec(as_spec(spec))).macs for spec in found]
    assert len(found) == 3
    assert macs == sorted(macs)
    assert macs[-1] < every[-1]  # A1 alone is twice as heavy as all others
    mean = sum(every) / len(every)
    assert 0.75 * mean < sum(macs) / 3 < 1.1 * mean


def test_two_networks_are_both_tried() -> None:
    request = requested(as_spec("levit_128s"), axes=["position=none"])
    assert len(of_all_sizes(request.trained, proxy=request.proxy, number=3)) == 2
