"""What emer report needs of vl-convert: Vega's JavaScript for pages, drawings for papers.

render.py JOB.json with {"bundle": file or null, "figures": [{"spec", "config", "format": "svg" | "png", "ppi", "out"}]}.
"""
import json
import sys

try:
    import vl_convert
except ImportError as error:
    print(f"cannot import vl_convert: {error}", file=sys.stderr)
    sys.exit(7)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    if job["bundle"]:
        text = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
        with open(job["bundle"], "w", encoding="utf-8") as file:
            file.write(text)
    for figure in job["figures"]:
        options = {"config": figure["config"], "show_warnings": True, "allowed_base_urls": []}
        try:
            if figure["format"] == "svg":
                image = vl_convert.vegalite_to_svg(figure["spec"], **options).encode()
            else:
                image = vl_convert.vegalite_to_png(figure["spec"], ppi=figure["ppi"], **options)
        except ValueError as error:
            print(f"{figure['name']}: {str(error).strip().splitlines()[0]}", file=sys.stderr)
            sys.exit(8)
        with open(figure["out"], "wb") as file:
            file.write(image)


main()
