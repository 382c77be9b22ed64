from helpers.plain_encoders import blind, mean_color

from xsample_tf import evaluation


def test_reports_show_every_figure_beside_untrained_and_chance(data_dir):
    results = evaluation.evaluate(mean_color, data_dir, baseline=blind, image_size=16)
    lines = evaluation.table(results).splitlines()
    assert lines[0].split() == ["measure", "trained", "untrained", "chance"]
    *lines, verdict = lines
    assert len({len(line) for line in lines}) == 1 and len(lines) == 15
    begin = "better than the untrained encoder: caption cosine of nearest images +0."
    assert verdict.startswith(begin) and verdict.endswith("bootstrap over 48 images)")
    assert lines[1].startswith("kNN top-1 accuracy") and lines[1].split()[-3] == "100.0%"
    text = evaluation.markdown(results)
    assert text.splitlines()[2] == f"**B{verdict[1:]}.**"
    assert "| kNN top-1 accuracy (k 20, T 0.07) | 100.0% |" in text and data_dir in text
    summary = evaluation.summary(results, 1200)
    assert summary.startswith("evaluation at step 1,200: kNN 100.0%") and "\n" not in summary
